-- Hands commands that waited how the others ended. If one of them did not complete, a command that does not allow it is
-- left to fail.
UPDATE commands
SET children = grouped.children,
    ending = CASE
        WHEN NOT grouped.is_complete AND extras ->> 'allow_failures' IS NULL THEN 'failed'
        ELSE ending
    END
FROM (
    SELECT
        command_id, min(state = 'completed') AS is_complete,
        json_group_array(
            json_object(
                'position', position, 'id', child_id, 'name', name, 'state', state, 'result', json(result),
                'error', json(error)
            )
        ) AS children
    FROM (
        SELECT * FROM joined WHERE command_id IN (SELECT value FROM json_each(:ids)) ORDER BY command_id, position
    )
    GROUP BY command_id
) AS grouped
WHERE commands.id = grouped.command_id
RETURNING commands.id;

DELETE FROM joined WHERE command_id IN (SELECT value FROM json_each(:ids));
