-- One command, live or finished; of one that repeats, the newest run. No row: never stored, or pruned.
SELECT *
FROM all_commands
WHERE id = :id
  -- A live run is the newest. Sorted by run, a command that repeats would be read with all its runs.
  AND run = coalesce(
    (SELECT run FROM commands WHERE id = :id),
    (SELECT max(run) FROM finished_commands WHERE id = :id)
  )
