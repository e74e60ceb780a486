//! Every fixed bound of the engine, in one place. What an operator may change is in `config`; its
//! floors and ceilings are here. Relations between bounds are checked when this file is compiled.

/// Longest command line, CR LF included. RFC 5321 section 4.5.3.1.4 asks for 512; extensions add
/// to it (SMTPUTF8, DSN's ORCPT with 500 octets), so the floor that serves all we offer is higher.
pub const COMMAND_LINE_BYTES_MAX: usize = 4096;
/// Longest local-part, RFC 5321 section 4.5.3.1.1.
pub const LOCAL_PART_BYTES_MAX: usize = 64;
/// Longest local-part that is let through where a customer's own system made longer ones.
pub const LOCAL_PART_BYTES_TOLERATED: usize = 254;
/// Longest domain, RFC 5321 section 4.5.3.1.2.
pub const DOMAIN_BYTES_MAX: usize = 255;
/// Longest path with brackets, RFC 5321 section 4.5.3.1.3, as far as SMTPUTF8 needs it.
pub const PATH_BYTES_MAX: usize = 1024;
/// Content lines up to this length pass unchanged (the RFC guarantees only 1000).
pub const CONTENT_LINE_BYTES_MAX: usize = 64 * 1024;
/// A body up to this size stays in memory; a larger one goes to a file of its own as it arrives.
pub const BODY_IN_MEMORY_BYTES_MAX: usize = 256 * 1024;
/// Longest piece that is scanned before the shard looks at its other sessions.
pub const SCAN_SLICE_BYTES: usize = 64 * 1024;
/// Largest message that any setting may allow, SM-62.
pub const MESSAGE_BYTES_CEILING: u64 = 2048 * 1024 * 1024;
/// Recipients of one transaction that are always accepted, RFC 5321 section 4.5.3.1.8.
pub const RECIPIENTS_FLOOR: usize = 100;
/// Records on disk start on a multiple of this.
pub const BLOCK_BYTES: usize = 4096;
/// Longest alias chain; a longer one is a build error of the tables.
pub const ALIAS_CHAIN_MAX: usize = 16;
/// Received fields in a message before it counts as looping. RFC 5321 section 6.3.
pub const RECEIVED_HOPS_MAX: usize = 100;

/// Domains of the authors of one mail that are asked about.
pub const AUTHOR_DOMAINS_MAX: usize = 8;

const _: () = {
    assert!(BODY_IN_MEMORY_BYTES_MAX >= SCAN_SLICE_BYTES);
    // A content line must fit into one slice, or a line rule could lose a hit at a cut.
    assert!(CONTENT_LINE_BYTES_MAX <= SCAN_SLICE_BYTES);
    assert!(COMMAND_LINE_BYTES_MAX >= PATH_BYTES_MAX + 512);
};
