-- One command, live or finished. No row: never stored, or pruned.
SELECT * FROM durex.all_commands WHERE id = :id
