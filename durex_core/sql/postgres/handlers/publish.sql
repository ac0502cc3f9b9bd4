-- Remembers what handlers give their commands, and changes nothing where that is known.
INSERT INTO durex.handlers AS known (name, template, published_at)
SELECT name, template, :now
FROM json_to_recordset(:rows) AS row (name text, template json)
ORDER BY name
ON CONFLICT (name) DO UPDATE
SET template = excluded.template,
    published_at = excluded.published_at
WHERE known.template::text <> excluded.template::text
RETURNING name
