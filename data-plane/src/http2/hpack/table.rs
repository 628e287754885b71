//! What the numbers in header blocks stand for, as far as it matters: the kind and size of fields, without their text.
//! RFC 7541 sections 2.3 and 4, and appendix A.

use std::collections::VecDeque;

use super::Pseudo;

/// What a field costs besides its text.
pub(super) const OVERHEAD: u16 = 32;

/// The size of the table that we allow: the default, as the codec announces none.
const MOST: u32 = 4096;

/// The number of the first field that was remembered.
const FIRST: u32 = 62;

/// One field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) pseudo: Pseudo,
    /// The length of its name.
    pub(super) name: u16,
    /// Its size, overhead included.
    pub(super) size: u16,
}

/// The fields that were remembered, the newest first. There are never more than 128: each has its overhead.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: u32,
    most: u32,
}

impl Table {
    /// None if nothing has this number.
    pub(super) fn get(&self, index: u32) -> Option<Entry> {
        if index < FIRST {
            return STATIC.get(index.wrapping_sub(1) as usize).copied();
        }
        self.entries.get((index - FIRST) as usize).copied()
    }

    /// One that is too large empties the table.
    pub(super) fn insert(&mut self, pseudo: Pseudo, name: u32, size: u32) {
        self.shrink(self.most.saturating_sub(size));
        if size <= self.most
            && let (Ok(name), Ok(entry)) = (u16::try_from(name), u16::try_from(size))
        {
            self.entries.push_front(Entry { pseudo, name, size: entry });
            self.size += size;
        }
    }

    /// False if it may not be as large.
    pub(super) fn resize(&mut self, most: u32) -> bool {
        self.most = most.min(MOST);
        self.shrink(self.most);
        most <= MOST
    }

    fn shrink(&mut self, most: u32) {
        while self.size > most
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= u32::from(oldest.size);
        }
    }
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, most: MOST }
    }
}

/// The fields that need not be remembered.
static STATIC: [Entry; 61] = {
    let mut all = [fixed(Pseudo::NONE, 0, 0); 61];
    let mut n = 0;
    while n < PSEUDO.len() {
        all[n] = PSEUDO[n];
        n += 1;
    }
    while n < all.len() {
        all[n] = fixed(Pseudo::NONE, NAMES[n - PSEUDO.len()], 0);
        n += 1;
    }
    // The only one of them with a value: `accept-encoding: gzip, deflate`.
    all[15] = fixed(Pseudo::NONE, 15, 13);
    all
};

const PSEUDO: [Entry; 14] = [
    fixed(Pseudo::AUTHORITY, 10, 0),
    fixed(Pseudo::METHOD, 7, 3),
    fixed(Pseudo::METHOD, 7, 4),
    fixed(Pseudo::PATH, 5, 1),
    fixed(Pseudo::PATH, 5, 11),
    fixed(Pseudo::SCHEME, 7, 4),
    fixed(Pseudo::SCHEME, 7, 5),
    fixed(Pseudo::STATUS, 7, 3),
    fixed(Pseudo::STATUS, 7, 3),
    fixed(Pseudo::STATUS, 7, 3),
    fixed(Pseudo::STATUS, 7, 3),
    fixed(Pseudo::STATUS, 7, 3),
    fixed(Pseudo::STATUS, 7, 3),
    fixed(Pseudo::STATUS, 7, 3),
];

/// The lengths of the names that follow, from `accept-charset` to `www-authenticate`.
const NAMES: [u16; 47] = [
    14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13, 12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19,
    13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3, 16,
];

const fn fixed(pseudo: Pseudo, name: u16, value: u16) -> Entry {
    Entry { pseudo, name, size: name + value + OVERHEAD }
}
