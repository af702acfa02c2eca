-- The platform's tables, constraints and functions, written from the contract: what the worker can see of them.
-- Loaded into a private PostgreSQL by support/postgrest.py, behind a real PostgREST.

create role anon nologin;
create role service_role nologin bypassrls;
create role authenticator noinherit login;
grant anon, service_role to authenticator;
-- As on Supabase: a statement that takes longer is ended, so that an answer after 8 s is a lost one.
alter role authenticator set statement_timeout = '8s';

create table generation_sessions (
    id                  uuid primary key default gen_random_uuid(),
    user_id             uuid not null,
    status              text not null default 'queued'
                        check (status in ('queued', 'pending', 'processing', 'completed', 'failed')),
    generated_image_url text,
    error_message       text,
    processing_time_ms  integer,
    input_tokens        integer,
    output_tokens       integer,
    estimated_cost_usd  numeric(10, 6),
    credits_used        integer default 1,
    created_at          timestamptz not null default now(),
    completed_at        timestamptz
);

-- An enum, the strictest reading of "limited to": asking for a status that it lacks is an error.
create type store_session_status as enum ('queued', 'processing', 'completed', 'failed');

create table store_generation_sessions (
    id                  uuid primary key default gen_random_uuid(),
    store_id            uuid not null,
    request_id          text,
    shopper_email       text,
    status              store_session_status not null default 'queued',
    generated_image_url text,
    error_message       text,
    processing_time_ms  integer,
    input_tokens        integer,
    output_tokens       integer,
    estimated_cost_usd  numeric(10, 6),
    credits_used        integer default 1,
    created_at          timestamptz not null default now(),
    completed_at        timestamptz
);

create table user_credits (
    user_id uuid primary key,
    balance integer not null check (balance >= 0)
);

create table credit_transactions (
    id          uuid primary key default gen_random_uuid(),
    user_id     uuid not null,
    amount      integer not null,
    type        text not null,
    description text,
    created_at  timestamptz not null default now()
);

create table store_credits (
    store_id uuid primary key,
    balance  integer not null check (balance >= 0)
);

create table store_shopper_credits (
    store_id      uuid not null,
    shopper_email text not null,
    balance       integer not null check (balance >= 0),
    primary key (store_id, shopper_email)
);

create table store_credit_transactions (
    id          uuid primary key default gen_random_uuid(),
    store_id    uuid not null,
    request_id  text,
    amount      integer not null,
    type        text not null check (type in ('deduction', 'refund', 'purchase', 'subscription', 'overage')),
    description text,
    created_at  timestamptz not null default now(),
    unique (store_id, request_id, type)
);

-- Not idempotent: two calls pay twice.
create function refund_credits(p_user_id uuid, p_amount integer, p_description text) returns void
language plpgsql as $$
begin
    update user_credits set balance = balance + p_amount where user_id = p_user_id;
    if not found then
        raise exception 'no credit account for user %', p_user_id;
    end if;
    insert into credit_transactions (user_id, amount, type, description)
    values (p_user_id, p_amount, 'refund', p_description);
end $$;

create function refund_store_credits(p_store_id uuid, p_amount integer, p_request_id text, p_description text)
returns void language plpgsql as $$
begin
    update store_credits set balance = balance + p_amount where store_id = p_store_id;
    if not found then
        raise exception 'no credit account for store %', p_store_id;
    end if;
    insert into store_credit_transactions (store_id, request_id, amount, type, description)
    values (p_store_id, p_request_id, p_amount, 'refund', p_description);
end $$;

create function refund_store_shopper_credits(
    p_store_id uuid, p_shopper_email text, p_amount integer, p_request_id text, p_description text
) returns void language plpgsql as $$
begin
    update store_shopper_credits set balance = balance + p_amount
    where store_id = p_store_id and shopper_email = p_shopper_email;
    if not found then
        -- With the address: nothing promises that production's messages are free of it.
        raise exception 'no credit account for shopper %', p_shopper_email;
    end if;
    insert into store_credit_transactions (store_id, request_id, amount, type, description)
    values (p_store_id, p_request_id, p_amount, 'refund', p_description);
end $$;

alter table generation_sessions enable row level security;
alter table store_generation_sessions enable row level security;
grant usage on schema public to anon, service_role;
grant all on all tables in schema public to anon, service_role;
revoke execute on all functions in schema public from public;
grant execute on all functions in schema public to service_role;
