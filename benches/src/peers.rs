//! The peers: how each is installed, how it is asked for the processes of a snapshot, and how its
//! answer is read.

mod crash;
mod drgn;
mod memflow;
mod mquire;
mod osier;
mod peer;
mod vmi;
mod volatility;

pub(crate) use drgn::python as drgn_program;
pub(crate) use peer::{Peer, Program};
use peer::{command, lines};
pub(crate) use volatility::{given as volatility_command, install as volatility_program};

/// Osier first, then the peers; a program with two ways of being asked stands twice.
pub(crate) const PEERS: &[Peer] = &[
    osier::AGAIN,
    osier::FIRST,
    memflow::PEER,
    vmi::PEER,
    drgn::PEER,
    mquire::PEER,
    volatility::PEER,
    crash::NEW,
    crash::OLD,
];
