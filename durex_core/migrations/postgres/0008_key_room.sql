-- A claim adds an entry to the key of commands for each row that it starts: beside the one that is there, if there is
-- room, so that no page is cleaned or split for it.
ALTER INDEX durex.commands_pkey SET (fillfactor = 50);
