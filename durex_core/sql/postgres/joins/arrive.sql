-- Remembers how commands ended that another one waits for. A row missing from the answer is no longer waited for.
INSERT INTO durex.joined (command_id, position, child_id, name, state, result, error)
SELECT row.command_id, row.position, row.child_id, row.name, row.state, row.result, row.error
FROM json_to_recordset(:rows) AS row (
    command_id uuid, position integer, child_id uuid, name text, state text, result json, error json
)
JOIN durex.commands AS waiting ON waiting.id = row.command_id AND waiting.state = 'waiting'
ON CONFLICT (command_id, position) DO NOTHING
RETURNING command_id
