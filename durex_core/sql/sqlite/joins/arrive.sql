-- Remembers how commands ended that another one waits for. A row missing from the answer is no longer waited for.
INSERT INTO joined (command_id, position, child_id, name, state, result, error)
SELECT
    value ->> 'command_id', value ->> 'position', value ->> 'child_id', value ->> 'name', value ->> 'state',
    value -> 'result', value -> 'error'
FROM json_each(:rows)
WHERE EXISTS (SELECT 1 FROM commands AS waiting WHERE waiting.id = value ->> 'command_id' AND waiting.state = 'waiting')
ON CONFLICT (command_id, position) DO NOTHING
RETURNING command_id
