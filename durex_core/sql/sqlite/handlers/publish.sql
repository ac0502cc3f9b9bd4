-- Remembers what handlers give their commands, and changes nothing where that is known.
INSERT INTO handlers (name, template, published_at)
SELECT value ->> 'name', value -> 'template', :now
FROM json_each(:rows)
WHERE true
ON CONFLICT (name) DO UPDATE
SET template = excluded.template,
    published_at = excluded.published_at
WHERE handlers.template <> excluded.template
RETURNING name
