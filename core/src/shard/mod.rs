//! shard: not yet built.
