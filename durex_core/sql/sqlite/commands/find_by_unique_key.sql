-- The live commands that hold these unique keys.
SELECT unique_key, id
FROM commands
WHERE unique_key IN (SELECT value FROM json_each(:unique_keys))
