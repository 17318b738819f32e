"""Tasks: one per step, and the policy of retries and logging. Everything they do, they ask the core for."""
