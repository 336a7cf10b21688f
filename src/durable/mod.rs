//! Files that appear whole or not at all, append-only logs with torn-tail recovery, locks.
