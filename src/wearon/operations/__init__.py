"""What operators and shop support see and do: the status of the fleet, the history of one session, and actions.

`status` and `session_history` read Redis and the platform; console, `/health` and command line show the result.
`history` is written while jobs run, and `actions` is what an operator may do about dead letters and refunds. `models`
has one model for each thing that is shown; `incidents`, `time_line` and `refund_history` are rules without I/O.
It may import everything that works on jobs, and none of that may import it.
"""
