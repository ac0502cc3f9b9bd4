-- One command, live or finished; of one that repeats, the newest run. No row: never stored, or pruned.
SELECT * FROM durex.all_commands WHERE id = :id ORDER BY run DESC LIMIT 1
