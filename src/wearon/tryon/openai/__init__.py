"""OpenAI as the image model: its client, its answers, and what is known of each model.

`client` sends a request and gives back the paid answer, `answers` reads it, `models` is the table of what each model
takes and costs, `fallback` says which is asked, `breaker` spares a service that refuses us, `last_days` looks ahead.
"""
