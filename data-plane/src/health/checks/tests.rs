//! What the supervisor makes of tables, and checkers of answers.
