//! The write-ahead log, looked at before SQLite does.
//!
//! SQLite takes the log up to the first frame that is not as it was written, and forgets what follows: that is right for
//! the end of a log that a crash tore off, but what is damaged in the middle would take changes with it that were
//! acknowledged. Each transaction is synced before the next one begins, so a torn end is part of the last one only: if
//! another one begins behind it, it was whole once.
//!
//! <https://sqlite.org/fileformat2.html#the_write_ahead_log>

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// What a log begins with; the last bit tells the order of the bytes in checksums.
const MAGIC: u32 = 0x377f_0682;
/// What a page may have.
const PAGE: std::ops::RangeInclusive<usize> = 512..=65_536;

/// Where the log of transactions at `path` is damaged in a way that no crash explains, if it is.
pub(super) fn damage(path: &Path) -> io::Result<Option<String>> {
    let mut log = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut header = [0; HEADER];
    if !fill(&mut log, &mut header)? {
        return Ok(None);
    }
    let page = word(&header, 8) as usize;
    let mut sum = Sum { big_endian: word(&header, 0) & 1 == 1, values: (0, 0) };
    sum.add(&header[..24]);
    let sound = word(&header, 0) & !1 == MAGIC && sum.values == (word(&header, 24), word(&header, 28));
    if !sound || !PAGE.contains(&page) {
        // The header is synced before anything that follows it counts. Without it nobody knows what is there.
        let follows = fill(&mut log, &mut header)?;
        return Ok(follows.then(|| "its header is not as it was written".to_owned()));
    }
    let salt: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7].map(|i| header[16 + i]);
    let mut frame = vec![0; FRAME_HEADER + page];
    let mut bad = None;
    let mut committed = false;
    for number in 1u64.. {
        if !fill(&mut log, &mut frame)? {
            break;
        }
        let ours = frame[8..16] == salt;
        if bad.is_none() {
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME_HEADER..]);
            if !ours || sum.values != (word(&frame, 16), word(&frame, 20)) {
                bad = Some(number);
            }
        }
        let Some(bad) = bad else { continue };
        if ours && committed {
            let at = HEADER as u64 + (bad - 1) * frame.len() as u64;
            return Ok(Some(format!("frame {bad}, at byte {at}, is not as it was written")));
        }
        committed |= ours && word(&frame, 4) != 0;
    }
    Ok(None)
}

/// The checksum of all that was added.
struct Sum {
    big_endian: bool,
    values: (u32, u32),
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let word = |at: usize| {
            let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let (mut a, mut b) = self.values;
        for at in (0..bytes.len() & !7).step_by(8) {
            a = a.wrapping_add(word(at)).wrapping_add(b);
            b = b.wrapping_add(word(at + 4)).wrapping_add(a);
        }
        self.values = (a, b);
    }
}

/// Fills `bytes`. False if there are not so many.
fn fill(log: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
