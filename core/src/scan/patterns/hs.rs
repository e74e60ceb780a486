//! The only file that calls libhs. Everything unsafe of this room is here.
//!
//! A database is immutable once built; a scratch space belongs to one scan at a time, which `&mut`
//! says. Callbacks get a Rust closure through the context pointer and must not panic across C: they
//! only push numbers.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ptr;

use hyperscan_sys as hs;

pub(super) const CASELESS: u32 = hs::HS_FLAG_CASELESS;
pub(super) const DOTALL: u32 = hs::HS_FLAG_DOTALL;
pub(super) const MULTILINE: u32 = hs::HS_FLAG_MULTILINE;
pub(super) const SINGLEMATCH: u32 = hs::HS_FLAG_SINGLEMATCH;
pub(super) const ALLOWEMPTY: u32 = hs::HS_FLAG_ALLOWEMPTY;
pub(super) const PREFILTER: u32 = hs::HS_FLAG_PREFILTER;
pub(super) const UTF8: u32 = hs::HS_FLAG_UTF8;
pub(super) const UCP: u32 = hs::HS_FLAG_UCP;

/// How texts are handed to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Block,
    Stream,
}

impl Mode {
    fn bits(self) -> c_uint {
        match self {
            Self::Block => hs::HS_MODE_BLOCK,
            Self::Stream => hs::HS_MODE_STREAM,
        }
    }
}

/// A compiled database.
#[derive(Debug)]
pub(super) struct Database(ptr::NonNull<hs::hs_database_t>);

#[expect(unsafe_code, reason = "libhs is a C library")]
// SAFETY: libhs never writes to a database after it was built; all its functions take it as const.
unsafe impl Send for Database {}
#[expect(unsafe_code, reason = "libhs is a C library")]
// SAFETY: as above; the documentation allows concurrent scans of one database.
unsafe impl Sync for Database {}

impl Drop for Database {
    #[expect(unsafe_code, reason = "libhs is a C library")]
    fn drop(&mut self) {
        // SAFETY: the pointer came from libhs, nobody else owns it, and this runs once.
        unsafe { hs::hs_free_database(self.0.as_ptr()) };
    }
}

/// Version of libhs and features of this CPU, as far as they decide if a database fits.
#[expect(unsafe_code, reason = "libhs is a C library")]
pub(super) fn platform() -> String {
    let mut platform = hs::hs_platform_info::default();
    // SAFETY: `platform` is a valid place for the struct that is written.
    let code = unsafe { hs::hs_populate_platform(&raw mut platform) };
    // SAFETY: takes nothing; returns a pointer to a static string.
    let version = unsafe { hs::hs_version() };
    // SAFETY: the static string of libhs ends with NUL and lives for ever.
    let version = unsafe { CStr::from_ptr(version) }.to_string_lossy();
    let version = version.split(' ').next().unwrap_or_default();
    format!(
        "plan 5 libhs {version} tune {} cpu {:x} ({code})",
        platform.tune, platform.cpu_features
    )
}

/// One expression or literal for a database.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The expression, or the literal's octets.
    pub(super) octets: Vec<u8>,
    pub(super) flags: u32,
    pub(super) id: u32,
}

/// Why libhs did not compile.
#[derive(Clone, Debug)]
pub(super) struct CompileFault {
    pub(super) text: String,
}

/// Compiles expressions.
pub(super) fn compile(entries: &[Entry], mode: Mode) -> Result<Database, CompileFault> {
    compile_any(entries, mode, false)
}

/// Compiles pure literals: only `CASELESS` and `SINGLEMATCH` may be set.
pub(super) fn compile_literals(entries: &[Entry], mode: Mode) -> Result<Database, CompileFault> {
    compile_any(entries, mode, true)
}

#[expect(unsafe_code, reason = "libhs is a C library")]
fn compile_any(entries: &[Entry], mode: Mode, literal: bool) -> Result<Database, CompileFault> {
    let fault = |text: &str| CompileFault { text: text.into() };
    // Literals may contain NUL (their lengths are handed over); expressions may not.
    let texts: Vec<CString> = entries
        .iter()
        .map(|entry| {
            if literal {
                // SAFETY: not a C string by meaning: libhs reads `lens[i]` octets of it, and
                // `from_vec_unchecked` appends one more.
                unsafe { CString::from_vec_unchecked(entry.octets.clone()) }
            } else {
                CString::new(entry.octets.clone()).unwrap_or_default()
            }
        })
        .collect();
    if !literal && entries.iter().any(|entry| entry.octets.contains(&0)) {
        return Err(fault("expression contains NUL"));
    }
    let pointers: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
    let flags: Vec<c_uint> = entries.iter().map(|entry| entry.flags).collect();
    let ids: Vec<c_uint> = entries.iter().map(|entry| entry.id).collect();
    let lengths: Vec<usize> = entries.iter().map(|entry| entry.octets.len()).collect();
    let count = c_uint::try_from(entries.len()).map_err(|_| fault("too many expressions"))?;
    let mut database = ptr::null_mut();
    let mut error = ptr::null_mut();
    let code = if literal {
        // SAFETY: all arrays have `count` elements and outlive the call; the two places are valid.
        unsafe {
            hs::hs_compile_lit_multi(
                pointers.as_ptr(),
                flags.as_ptr(),
                ids.as_ptr(),
                lengths.as_ptr(),
                count,
                mode.bits(),
                ptr::null(),
                &raw mut database,
                &raw mut error,
            )
        }
    } else {
        // SAFETY: as above, and every text ends with NUL.
        unsafe {
            hs::hs_compile_multi(
                pointers.as_ptr(),
                flags.as_ptr(),
                ids.as_ptr(),
                count,
                mode.bits(),
                ptr::null(),
                &raw mut database,
                &raw mut error,
            )
        }
    };
    match ptr::NonNull::new(database) {
        Some(database) if code == 0 => Ok(Database(database)),
        Some(_) | None => Err(read_compile_error(error, code)),
    }
}

#[expect(unsafe_code, reason = "libhs is a C library")]
fn read_compile_error(error: *mut hs::hs_compile_error_t, code: i32) -> CompileFault {
    // SAFETY: null, or an error struct that libhs just wrote and nobody else holds.
    let Some(read) = (unsafe { error.as_ref() }) else {
        return CompileFault { text: format!("libhs error {code}") };
    };
    // SAFETY: the message is a string that ends with NUL and lives until the struct is freed.
    let text = unsafe { CStr::from_ptr(read.message) }.to_string_lossy().into_owned();
    // SAFETY: freed once; `read` is not used again.
    unsafe { hs::hs_free_compile_error(error) };
    CompileFault { text }
}

impl Database {
    /// The database as octets, for this version and CPU.
    #[expect(unsafe_code, reason = "libhs is a C library")]
    pub(super) fn serialize(&self) -> Result<Vec<u8>, i32> {
        let mut octets = ptr::null_mut();
        let mut length = 0_usize;
        // SAFETY: the database is valid and both places are.
        let code =
            unsafe { hs::hs_serialize_database(self.0.as_ptr(), &raw mut octets, &raw mut length) };
        if code != 0 || octets.is_null() {
            return Err(code);
        }
        // SAFETY: libhs wrote `length` octets there.
        let copy = unsafe { std::slice::from_raw_parts(octets.cast::<u8>(), length) }.to_vec();
        // SAFETY: allocated by libhs's default allocator, which is malloc; freed once.
        unsafe { libc::free(octets.cast::<c_void>()) };
        Ok(copy)
    }

    /// Loads a serialized database. libhs checks version, platform and a checksum of its own.
    #[expect(unsafe_code, reason = "libhs is a C library")]
    pub(super) fn deserialize(octets: &[u8]) -> Result<Self, i32> {
        // A mapped payload may lie at any offset: libhs wants whole words.
        let mut words = vec![0_u64; octets.len().div_ceil(8)];
        for (word, piece) in words.iter_mut().zip(octets.chunks(8)) {
            let mut bytes = [0_u8; 8];
            for (to, from) in bytes.iter_mut().zip(piece) {
                *to = *from;
            }
            *word = u64::from_ne_bytes(bytes);
        }
        let mut database = ptr::null_mut();
        // SAFETY: `octets.len()` octets can be read there; the place is valid.
        let code = unsafe {
            hs::hs_deserialize_database(words.as_ptr().cast(), octets.len(), &raw mut database)
        };
        ptr::NonNull::new(database).filter(|_| code == 0).map(Self).ok_or(code)
    }
}

/// Working memory of libhs for one scan at a time.
#[derive(Debug)]
pub(super) struct Space(*mut hs::hs_scratch_t);

#[expect(unsafe_code, reason = "libhs is a C library")]
// SAFETY: plain memory without ties to a thread; `&mut` keeps scans apart.
unsafe impl Send for Space {}

impl Default for Space {
    fn default() -> Self {
        Self(ptr::null_mut())
    }
}

impl Drop for Space {
    #[expect(unsafe_code, reason = "libhs is a C library")]
    fn drop(&mut self) {
        // SAFETY: null (allowed) or a scratch that only we hold; freed once.
        unsafe { hs::hs_free_scratch(self.0) };
    }
}

impl Space {
    /// Makes it large enough for `database` too.
    #[expect(unsafe_code, reason = "libhs is a C library")]
    pub(super) fn grow(&mut self, database: &Database) -> Result<(), i32> {
        // SAFETY: the database is valid; the place holds null or a scratch that libhs may replace.
        let code = unsafe { hs::hs_alloc_scratch(database.0.as_ptr(), &raw mut self.0) };
        if code == 0 { Ok(()) } else { Err(code) }
    }
}

/// Called for each match: id and the offset of its end. `true` ends the scan.
type OnMatch<'f> = &'f mut dyn FnMut(u32, u64) -> bool;

#[expect(unsafe_code, reason = "libhs is a C library: the context pointer is ours")]
unsafe extern "C" fn on_match(
    id: c_uint,
    _from: c_ulonglong,
    to: c_ulonglong,
    _flags: c_uint,
    context: *mut c_void,
) -> c_int {
    // SAFETY: `context` is the `OnMatch` that the scan below handed over; it outlives the scan, and
    // libhs calls back from the same thread only, one at a time.
    let Some(call) = (unsafe { context.cast::<OnMatch<'_>>().as_mut() }) else { return 1 };
    c_int::from(call(id, to))
}

fn scanned(code: i32) -> Result<(), i32> {
    match code {
        0 | hs::HS_SCAN_TERMINATED => Ok(()),
        other => Err(other),
    }
}

/// Scans one block.
#[expect(unsafe_code, reason = "libhs is a C library")]
pub(super) fn scan(
    database: &Database,
    block: &[u8],
    space: &mut Space,
    mut call: OnMatch<'_>,
) -> Result<(), i32> {
    let length = c_uint::try_from(block.len()).map_err(|_| hs::HS_INVALID)?;
    // SAFETY: database and scratch are valid, `length` octets can be read, the context outlives
    // the call.
    let code = unsafe {
        hs::hs_scan(
            database.0.as_ptr(),
            block.as_ptr().cast(),
            length,
            0,
            space.0,
            Some(on_match),
            (&raw mut call).cast(),
        )
    };
    scanned(code)
}

/// A text that comes in pieces. It keeps its database alive by borrowing it.
#[derive(Debug)]
pub(super) struct Stream<'d> {
    stream: *mut hs::hs_stream_t,
    _database: &'d Database,
}

impl<'d> Stream<'d> {
    #[expect(unsafe_code, reason = "libhs is a C library")]
    pub(super) fn open(database: &'d Database) -> Result<Self, i32> {
        let mut stream = ptr::null_mut();
        // SAFETY: the database is valid and lives as long as the stream; the place is valid.
        let code = unsafe { hs::hs_open_stream(database.0.as_ptr(), 0, &raw mut stream) };
        if code == 0 { Ok(Self { stream, _database: database }) } else { Err(code) }
    }

    #[expect(unsafe_code, reason = "libhs is a C library")]
    pub(super) fn scan(
        &mut self,
        piece: &[u8],
        space: &mut Space,
        mut call: OnMatch<'_>,
    ) -> Result<(), i32> {
        let length = c_uint::try_from(piece.len()).map_err(|_| hs::HS_INVALID)?;
        // SAFETY: stream and scratch are valid, `length` octets can be read, the context outlives
        // the call.
        let code = unsafe {
            hs::hs_scan_stream(
                self.stream,
                piece.as_ptr().cast(),
                length,
                0,
                space.0,
                Some(on_match),
                (&raw mut call).cast(),
            )
        };
        scanned(code)
    }

    /// Ends the text: matches that hang on its end are reported now.
    #[expect(unsafe_code, reason = "libhs is a C library")]
    pub(super) fn finish(mut self, space: &mut Space, mut call: OnMatch<'_>) -> Result<(), i32> {
        let stream = std::mem::replace(&mut self.stream, ptr::null_mut());
        // SAFETY: the stream is open, and `self` no longer holds it.
        let code =
            unsafe { hs::hs_close_stream(stream, space.0, Some(on_match), (&raw mut call).cast()) };
        scanned(code)
    }
}

impl Drop for Stream<'_> {
    #[expect(unsafe_code, reason = "libhs is a C library")]
    fn drop(&mut self) {
        if !self.stream.is_null() {
            // SAFETY: the stream is open; without a callback libhs needs no scratch.
            unsafe { hs::hs_close_stream(self.stream, ptr::null_mut(), None, ptr::null_mut()) };
        }
    }
}
