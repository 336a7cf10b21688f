//! The loop: generations, screen, race, merge, gate.
