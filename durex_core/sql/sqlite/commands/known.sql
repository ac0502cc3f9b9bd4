-- Which of these ids belong to a command, live or finished: at one moment, since a command moves between the two.
SELECT value AS id
FROM json_each(:ids)
WHERE EXISTS (SELECT 1 FROM commands WHERE id = value)
   OR EXISTS (SELECT 1 FROM finished_commands WHERE id = value)
