-- Optional: fails a b2c session and gives its credit back in one transaction, once for each session.
--
-- refund_credits pays twice when it is called twice, so without this function a refund hangs on a lock in Redis: a worker
-- that stands still for longer than the lock, just before its call, can pay a second time. Here the session's row is
-- the lock, and the ledger is looked at under it. Stores need nothing of the kind: their ledger refuses a second refund.
--
-- Install it in the project's SQL editor (or with psql); workers notice within five minutes, and `wearon doctor` says so.
-- It uses what is there already: generation_sessions, credit_transactions and refund_credits. To take it out again, stop
-- the workers or accept that refunds wait for a quarter of an hour:
--     drop function public.fail_and_refund_session(uuid, uuid, text, timestamptz, text);
--
-- Answers 'refunded', 'already_refunded', 'nothing_owed', 'ended_elsewhere' or 'no_session'.

create or replace function public.fail_and_refund_session(
    p_user_id uuid, p_session_id uuid, p_error_message text, p_completed_at timestamptz, p_description text
) returns text
language plpgsql
security invoker -- the worker's role has every right that is needed, and nobody else gains one
set search_path = public, pg_temp
as $$
declare
    found_session record;
begin
    select s.status, s.completed_at, s.credits_used into found_session
    from generation_sessions s
    where s.id = p_session_id and s.user_id = p_user_id
    for update; -- whoever else calls this for the same session waits here, and then sees what was done
    if not found then
        return 'no_session';
    end if;

    if found_session.status in ('queued', 'pending', 'processing') then
        update generation_sessions
        set status = 'failed', error_message = p_error_message, completed_at = p_completed_at
        where id = p_session_id;
    elsif found_session.status <> 'failed' or found_session.completed_at is distinct from p_completed_at then
        return 'ended_elsewhere'; -- and whoever ended it owns the refund; our own move is known by its stamp
    end if;

    if coalesce(found_session.credits_used, 1) <= 0 then
        return 'nothing_owed';
    end if;
    if exists (
        select 1 from credit_transactions t
        where t.user_id = p_user_id and t.type = 'refund' and t.description like '%' || p_session_id || '%'
    ) then
        return 'already_refunded';
    end if;
    -- By the session, whatever the caller calls it: the next look into the ledger finds it by the id.
    perform refund_credits(
        p_user_id := p_user_id,
        p_amount := coalesce(found_session.credits_used, 1),
        p_description := case
            when p_description like '%' || p_session_id || '%' then p_description
            else p_description || ' (session ' || p_session_id || ')'
        end
    );
    return 'refunded';
end
$$;

-- Supabase gives every new function in this schema to its API's roles: shoppers must not call it.
revoke all on function public.fail_and_refund_session(uuid, uuid, text, timestamptz, text) from public;
do $$
declare
    api_role text;
begin
    foreach api_role in array array['anon', 'authenticated'] loop
        if exists (select 1 from pg_roles where rolname = api_role) then
            execute format(
                'revoke all on function public.fail_and_refund_session(uuid, uuid, text, timestamptz, text) from %I',
                api_role
            );
        end if;
    end loop;
end
$$;
grant execute on function public.fail_and_refund_session(uuid, uuid, text, timestamptz, text) to service_role;

notify pgrst, 'reload schema';
