-- ARGV: entry of the audit log
note_action(ARGV[1])
