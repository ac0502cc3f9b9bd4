-- The lowest bit of an id marks commands that were accepted while the database was away; those made here are none.
CREATE OR REPLACE FUNCTION durex.new_id() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
    SELECT encode(
        set_bit(
            set_bit(
                set_bit(
                    overlay(
                        uuid_send(gen_random_uuid())
                        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                        FROM 1 FOR 6
                    ),
                    52, 1
                ),
                53, 1
            ),
            120, 0
        ),
        'hex'
    )::uuid
$$;
