-- ARGV: entry of the audit log
return note_action(ARGV[1])
