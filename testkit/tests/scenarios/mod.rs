//! What people and devices do, over real sockets against the real executable.
