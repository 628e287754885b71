//! Programs of others as clients, backends and judges.
