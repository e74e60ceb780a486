//! shard: one executor per core.
pub mod deadlines;
