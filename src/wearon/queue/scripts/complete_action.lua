-- ARGV: entry of the audit log as it was written when the action began, and what takes its place ('': nothing)
redis.pcall('LREM', AUDIT_LOG, 1, ARGV[1])
note_action(ARGV[2])
