//! The frame around the records of a backup.

use std::io::{self, BufRead};

use bytes::BytesMut;
use prost::Message;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::record::{Content, Record};

/// The first bytes of every backup.
const MAGIC: &[u8; 8] = b"WEIRBKUP";
/// Grows with every change that older versions cannot read.
const FORMAT: u32 = 1;
/// Bytes of one record: some times what an object may have.
const MOST_RECORD: usize = 64 << 20;

/// Frames records.
#[derive(Debug)]
pub(super) struct Encoder {
    /// What is framed and was not taken yet.
    pub(super) bytes: BytesMut,
    checksum: u64,
}

/// Reads records.
#[derive(Debug)]
pub(super) struct Decoder<R> {
    from: R,
    checksum: u64,
    /// The bytes that were read.
    at: u64,
}

impl Encoder {
    /// Begins a file.
    pub(super) fn new() -> Self {
        let mut bytes = BytesMut::from(&MAGIC[..]);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        Self { bytes, checksum: 0 }
    }

    /// Adds a record.
    pub(super) fn push(&mut self, content: Content) {
        let record = Record { content: Some(content) }.encode_to_vec();
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.checksum = xxh3_64_with_seed(&record, self.checksum);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&record);
        self.bytes.extend_from_slice(&self.checksum.to_le_bytes());
    }
}

impl<R: BufRead> Decoder<R> {
    /// Begins to read a file. The error says what is wrong with it.
    pub(super) fn new(from: R) -> Result<Self, String> {
        let mut decoder = Self { from, checksum: 0, at: 0 };
        let magic: [u8; 8] = decoder.bytes()?;
        if magic != *MAGIC {
            return Err("it is no backup of Weir".to_owned());
        }
        match u32::from_le_bytes(decoder.bytes()?) {
            FORMAT => Ok(decoder),
            format => Err(format!(
                "it has format {format}, and this version knows only {FORMAT}; use the version that made it"
            )),
        }
    }

    /// The next record.
    pub(super) fn next(&mut self) -> Result<Content, String> {
        let at = self.at;
        let damaged = |what: &dyn std::fmt::Display| format!("it is damaged at byte {at}: {what}");
        let length = u32::from_le_bytes(self.bytes()?) as usize;
        if length > MOST_RECORD {
            return Err(damaged(&format_args!("a record of {length} bytes cannot be")));
        }
        let mut record = vec![0; length];
        self.fill(&mut record)?;
        self.checksum = xxh3_64_with_seed(&record, self.checksum);
        if u64::from_le_bytes(self.bytes()?) != self.checksum {
            return Err(damaged(&"the checksum is wrong"));
        }
        let record = Record::decode(record.as_slice()).map_err(|e| damaged(&e))?;
        record.content.ok_or_else(|| damaged(&"a record that this version does not know"))
    }

    /// Whether nothing follows.
    pub(super) fn is_at_end(&mut self) -> Result<bool, String> {
        self.from.fill_buf().map(<[u8]>::is_empty).map_err(|e| e.to_string())
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        self.from.read_exact(bytes).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => format!("it was cut off: it ends after byte {}", self.at),
            _ => format!("it cannot be read: {e}"),
        })?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
