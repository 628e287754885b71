//! Lines of several workers in the order of time. They begin with it, in a text whose order is that of time, so that it
//! costs the workers nothing.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, binary_heap::PeekMut},
};

use jiff::Timestamp;
use memchr::memchr;

use super::stamp::Stamp;

/// What a line has before its time, and the length of that.
const BEFORE: usize = br#"{"time":""#.len();
const TIME: usize = b"2023-11-14T22:13:20.000Z".len();

/// Lines that were handed over and wait for older ones.
#[derive(Debug, Default)]
pub(super) struct Merge {
    waiting: BinaryHeap<Reverse<Lines>>,
    bytes: usize,
    /// How many were handed over: lines of one time stay in that order.
    count: u64,
    stamp: Stamp,
}

/// What one worker handed over at once, in order, and how far it is written.
#[derive(Debug)]
struct Lines {
    /// Of the first that is not written.
    time: [u8; TIME],
    number: u64,
    text: Vec<u8>,
    at: usize,
}

impl Merge {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn add(&mut self, text: Vec<u8>) {
        self.count += 1;
        self.bytes += text.len();
        let time = time(&text);
        self.waiting.push(Reverse(Lines { time, number: self.count, text, at: 0 }));
    }

    /// The lines up to this time, or all, and as many more as have to go that no more than `most` bytes stay.
    pub(super) fn take(&mut self, until: Option<Timestamp>, most: usize) -> Vec<u8> {
        let until = until.map(|until| self.stamp.of(until).as_bytes().to_vec());
        let mut taken = Vec::new();
        while let Some(mut next) = self.waiting.peek_mut() {
            let Reverse(lines) = &mut *next;
            let ripe = until.as_ref().is_none_or(|until| lines.time[..] <= until[..]);
            if !ripe && self.bytes <= most {
                break;
            }
            let line = lines.take();
            self.bytes -= line.len();
            taken.extend_from_slice(line);
            if lines.is_empty() {
                PeekMut::pop(next);
            }
        }
        taken
    }
}

impl Lines {
    /// The first that is not written, with its end. There is one.
    fn take(&mut self) -> &[u8] {
        let begin = self.at;
        let end = memchr(b'\n', &self.text[begin..]).map_or(self.text.len(), |end| begin + end + 1);
        self.at = end;
        self.time = time(&self.text[end..]);
        &self.text[begin..end]
    }

    fn is_empty(&self) -> bool {
        self.at == self.text.len()
    }
}

/// Of the line that the text begins with.
fn time(text: &[u8]) -> [u8; TIME] {
    text.get(BEFORE..BEFORE + TIME).and_then(|time| time.try_into().ok()).unwrap_or_default()
}

impl Ord for Lines {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time, self.number).cmp(&(other.time, other.number))
    }
}

impl PartialOrd for Lines {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Lines {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Lines {}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(thousandths: &[u16]) -> Vec<u8> {
        let line = |n: &u16| format!("{{\"time\":\"2023-11-14T22:13:20.{n:03}Z\",\"n\":{n}}}\n");
        thousandths.iter().map(line).collect::<String>().into_bytes()
    }

    fn at(thousandths: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + thousandths).unwrap()
    }

    #[test]
    fn what_is_ripe_comes_in_the_order_of_time_and_the_rest_later() {
        let mut merge = Merge::default();
        merge.add(lines(&[5, 7, 7, 100]));
        merge.add(lines(&[1, 6, 7, 8]));
        assert_eq!(merge.take(Some(at(6)), usize::MAX), lines(&[1, 5, 6]));
        merge.add(lines(&[2, 9]));
        assert_eq!(merge.take(Some(at(50)), usize::MAX), lines(&[2, 7, 7, 7, 8, 9]));
        assert_eq!(merge.take(None, usize::MAX), lines(&[100]));
        assert!(merge.is_empty() && merge.bytes == 0);
    }

    #[test]
    fn what_is_too_much_goes_before_its_time_the_oldest_first() {
        let mut merge = Merge::default();
        merge.add(lines(&[5, 7]));
        merge.add(lines(&[6, 8]));
        let line = lines(&[5]).len();
        assert_eq!(merge.take(Some(at(0)), 2 * line), lines(&[5, 6]));
        assert_eq!(merge.take(Some(at(0)), 2 * line), [0; 0]);
    }

    #[test]
    fn what_has_no_time_is_written_first_and_harms_nothing() {
        let mut merge = Merge::default();
        merge.add(lines(&[5]));
        merge.add(b"x".to_vec());
        assert_eq!(merge.take(None, 0), [b"x".to_vec(), lines(&[5])].concat());
    }
}
