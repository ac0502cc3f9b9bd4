-- The live commands that hold these unique keys.
SELECT unique_key, id
FROM durex.commands
WHERE unique_key IN (SELECT jsonb_array_elements_text(:unique_keys))
