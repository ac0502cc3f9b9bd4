-- Hands commands that waited how the others ended. If one of them did not complete, a command that does not allow it is
-- left to fail.
WITH gathered AS (
    DELETE FROM durex.joined
    WHERE command_id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids)::uuid))
    RETURNING *
),
grouped AS (
    SELECT command_id, bool_and(state = 'completed') AS is_complete,
           json_agg(
               json_build_object(
                   'position', position, 'id', child_id, 'name', name, 'state', state, 'result', result, 'error', error
               )
               ORDER BY position
           ) AS children
    FROM gathered
    GROUP BY command_id
)
UPDATE durex.commands AS command
SET children = grouped.children,
    ending = CASE
        WHEN NOT grouped.is_complete AND command.extras ->> 'allow_failures' IS NULL THEN 'failed'
        ELSE command.ending
    END
FROM grouped
WHERE command.id = grouped.command_id
  AND command.id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids)::uuid))
RETURNING command.id
