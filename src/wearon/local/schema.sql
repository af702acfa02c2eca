-- The local mode's copy of the platform's tables: the names, columns, constraints and refund rules of production,
-- as far as the worker can tell them apart. Times are ISO 8601 in UTC with microseconds, so that they sort as text;
-- costs are decimal text, because SQLite has no exact numeric.

create table if not exists generation_sessions (
    id                  text primary key,
    user_id             text not null,
    status              text not null check (status in ('queued', 'pending', 'processing', 'completed', 'failed')),
    generated_image_url text,
    error_message       text,
    processing_time_ms  integer,
    input_tokens        integer,
    output_tokens       integer,
    estimated_cost_usd  text,
    credits_used        integer not null default 1,
    created_at          text not null,
    completed_at        text
) strict;

create table if not exists store_generation_sessions (
    id                  text primary key,
    store_id            text not null,
    request_id          text,
    shopper_email       text,
    status              text not null check (status in ('queued', 'processing', 'completed', 'failed')),
    generated_image_url text,
    error_message       text,
    processing_time_ms  integer,
    input_tokens        integer,
    output_tokens       integer,
    estimated_cost_usd  text,
    credits_used        integer not null default 1,
    created_at          text not null,
    completed_at        text
) strict;

create index if not exists generation_sessions_open
    on generation_sessions (created_at) where status in ('queued', 'pending', 'processing');
create index if not exists store_generation_sessions_open
    on store_generation_sessions (created_at) where status in ('queued', 'processing');

create table if not exists user_credits (
    user_id text primary key,
    balance integer not null check (balance >= 0)
) strict;

-- No unique key here, as in production: nothing but the worker's care keeps a user from being refunded twice.
create table if not exists credit_transactions (
    id          integer primary key,
    user_id     text not null,
    amount      integer not null,
    type        text not null,
    description text,
    created_at  text not null
) strict;

create index if not exists credit_transactions_user on credit_transactions (user_id, type);

create table if not exists store_credits (
    store_id text primary key,
    balance  integer not null check (balance >= 0)
) strict;

create table if not exists store_shopper_credits (
    store_id      text not null,
    shopper_email text not null,
    balance       integer not null check (balance >= 0),
    primary key (store_id, shopper_email)
) strict;

-- The unique key is what refuses the second refund of a request.
create table if not exists store_credit_transactions (
    id          integer primary key,
    store_id    text not null,
    request_id  text,
    amount      integer not null,
    type        text not null check (type in ('deduction', 'refund', 'purchase', 'subscription', 'overage')),
    description text,
    created_at  text not null,
    unique (store_id, request_id, type)
) strict;
