-- Which of these ids belong to a command, live or finished: at one moment, since a command moves between the two.
SELECT wanted.id
FROM (SELECT value::uuid AS id FROM jsonb_array_elements_text(:ids) AS value) AS wanted
CROSS JOIN LATERAL (
    SELECT FROM durex.commands AS live WHERE live.id = wanted.id
    UNION ALL
    SELECT FROM durex.finished_commands AS finished WHERE finished.id = wanted.id
    LIMIT 1
) AS found
