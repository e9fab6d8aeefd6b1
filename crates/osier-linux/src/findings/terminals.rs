//! Terminals: the functions that what is typed and shown goes through.

use foldhash::{HashSet, HashSetExt as _};
use osier_memory::{Fault, VirtAddr};
use osier_osi::Severity;
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use super::context::{About, Context, Evidence, Found, Owner, Rule, Says};
use super::entries::leaves;
use super::open_files;
use super::tables::Table;
use crate::layouts::Tty;
use crate::{list, symbols};

/// Line disciplines that every kernel has room for; the most that any has.
const DISCIPLINES: std::ops::Range<u64> = 18..64;
/// More terminals than any driver has, but for those that keep no array of them.
const MOST: u64 = 1 << 16;
/// Bytes of a name that are read.
const NAME: usize = 64;
/// `TTY_DRIVER_DEVPTS_MEM`, of a driver whose terminals are known to devpts alone.
const DEVPTS: u64 = 0x10;
/// What the usual line discipline has since v2.6.32, and `receive_buf2` since there is one.
const USUAL: &[&[&str]] = &[
    &["open"],
    &["close"],
    &["flush_buffer"],
    &["read"],
    &["write"],
    &["ioctl"],
    &["set_termios"],
    &["poll"],
    &["receive_buf"],
    &["receive_buf2"],
    &["write_wakeup"],
];
/// What every driver of terminals has.
const DRIVER: &[&[&str]] = &[&["open"], &["close"], &["write"], &["write_room"]];
/// What whatever a port hands on to has.
const CLIENT: &[&[&str]] = &[&["receive_buf"], &["write_wakeup"]];
/// `TTY_OTHER_CLOSED` and `TTY_HUPPED`, of a terminal that is used no more.
const OVER: u64 = 1 << 2 | 1 << 18;

layout! {
    /// Fields read from `tty_driver`.
    pub(crate) struct Driver: "tty_driver" {
        /// The link in the list of all.
        tty_drivers: Option<Field<Embed<()>>>,
        /// What its terminals are called.
        name: Option<Field<Ptr<()>>>,
        /// The module that it is of.
        owner: Option<Field<Ptr<()>>>,
        /// How many it can have.
        num: Option<Field<UInt>>,
        /// Marks.
        flags: Option<Field<UInt>>,
        /// Its terminals, null where there is none.
        ttys: Option<Field<Ptr<()>>>,
        /// Its functions.
        ops: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `tty_ldisc`.
    pub(crate) struct Discipline: "tty_ldisc" {
        /// Its functions.
        ops: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `tty_ldisc_ops`, whose other members are functions.
    pub(crate) struct DisciplineOps: "tty_ldisc_ops" {
        /// Its number.
        num: Option<Field<UInt>>,
        /// The module that it is of.
        owner: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// The functions of a driver: all its members are.
    pub(crate) struct Operations: "tty_operations" {}
}

layout! {
    /// Fields read from `tty_port`.
    pub(crate) struct Port: "tty_port" {
        /// Where it hands on what comes in. Linux commit c3485ee0d560 ("`tty_port`: Add port client functions"), v4.11.
        client_ops: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Where a port hands on what comes in: all its members are functions.
    pub(crate) struct Client: "tty_port_client_operations" {}
}

/// A function that what is typed and shown goes through.
pub(super) static TERMINALS: Rule = Rule {
    about: About {
        name: "terminal.hook",
        normal: "What is typed and shown goes through functions of the kernel's own code, and of the module whose driver or line discipline it is.",
        otherwise: "A driver that borrows another module's functions: a note.",
    },
    look: terminals,
};

/// The structures that are read, all of whose members every kernel has.
struct Members {
    link: Field<Embed<()>>,
    num: Field<UInt>,
    ttys: Field<Ptr<()>>,
    driver_ops: Field<Ptr<()>>,
    driver: Field<Ptr<()>>,
    tty_ops: Field<Ptr<()>>,
    ldisc: Field<Ptr<()>>,
    ldisc_ops: Field<Ptr<()>>,
    number: Field<UInt>,
}

fn terminals(context: &Context<'_>, found: &mut Found) {
    if !context.knows_code(found) {
        return;
    }
    let resolver = &mut Resolver::new(&context.linux.guest.profile);
    let (own, tty) = (Driver::resolve(resolver), Tty::resolve(resolver));
    let discipline = Discipline::resolve(resolver);
    let ops = DisciplineOps::resolve(resolver);
    let port = Port::resolve(resolver);
    let members = || {
        Some(Members {
            link: own.tty_drivers?,
            num: own.num?,
            ttys: own.ttys?,
            driver_ops: own.ops?,
            driver: tty.driver?,
            tty_ops: tty.ops?,
            ldisc: tty.ldisc?,
            ldisc_ops: discipline.ops?,
            number: ops.num?,
        })
    };
    let Some(members) = members() else {
        found.lost("members of terminals in the profile", None);
        return;
    };
    let mut look = Look {
        context,
        members,
        own,
        tty,
        ops,
        port,
        drivers: Vec::new(),
        listed: false,
        registered: None,
        met: HashSet::new(),
    };
    look.disciplines(found);
    look.drivers(found);
    look.sessions(found);
    look.files(found);
}

/// What is looked at.
struct Look<'a> {
    context: &'a Context<'a>,
    members: Members,
    own: Driver,
    tty: Tty,
    ops: DisciplineOps,
    port: Port,
    /// The drivers that were met.
    drivers: Vec<VirtAddr>,
    /// Whether the list of them closed: others are on none.
    listed: bool,
    /// The line disciplines, where all of them could be read.
    registered: Option<Vec<VirtAddr>>,
    /// Tables, terminals and arrays of them that were looked at.
    met: HashSet<VirtAddr>,
}

impl Look<'_> {
    /// An object that a pointer leads to; `None` of null, and of what cannot be read.
    fn object(
        &self,
        found: &mut Found,
        what: &str,
        read: Result<VirtAddr, Fault>,
    ) -> Option<VirtAddr> {
        let at = match read {
            Ok(at) if at.is_null() => return None,
            Ok(at) => list::plausible(&self.context.linux.guest, at).map(|()| at),
            Err(fault) => Err(fault),
        };
        at.map_err(|fault| found.lost(what, Some(fault))).ok()
    }

    /// The same of a member of the object at `of` that is never null.
    fn needed(
        &self,
        found: &mut Found,
        what: &str,
        member: Field<Ptr<()>>,
        of: VirtAddr,
    ) -> Option<VirtAddr> {
        let read = member.read(&self.context.linux.guest.space, of);
        let at = self.object(found, what, read);
        if at.is_none() {
            found.lost(what, None);
        }
        at
    }

    /// Looks once at a table.
    fn table(&mut self, found: &mut Found, table: &Table<'_>) {
        if self.met.insert(table.at) && !table.look(self.context, found) {
            let missing = format!("members of {} in the profile", table.structure);
            found.lost(&missing, None);
        }
    }

    /// Looks at the functions of a driver, or at what a terminal has instead.
    fn operations(&mut self, found: &mut Found, name: &str, at: VirtAddr, driver: VirtAddr) {
        let guest = &self.context.linux.guest;
        let owner = self.own.owner.map(|owner| owner.read(&guest.space, driver));
        let table = Table {
            name,
            structure: Operations::STRUCTURE,
            at,
            module: owner.and_then(Result::ok),
            needs: DRIVER,
        };
        self.table(found, &table);
    }

    /// Looks at the functions of a line discipline.
    fn discipline(&mut self, found: &mut Found, name: &str, at: VirtAddr, needs: &[&[&str]]) {
        let guest = &self.context.linux.guest;
        let owner = self.ops.owner.map(|owner| owner.read(&guest.space, at));
        let table = Table {
            name,
            structure: DisciplineOps::STRUCTURE,
            at,
            module: owner.and_then(Result::ok),
            needs,
        };
        self.table(found, &table);
    }

    /// The table of all line disciplines.
    fn disciplines(&mut self, found: &mut Found) {
        let guest = &self.context.linux.guest;
        let Some(table) = guest.symbol(symbols::tty_ldiscs) else {
            return found.lost("tty_ldiscs in the profile", None);
        };
        let own = guest
            .symbol(symbols::n_tty_ops)
            .or_else(|| guest.symbol(symbols::tty_ldisc_N_TTY));
        let mut all = Vec::new();
        for number in 0..DISCIPLINES.end {
            let at = table.plus(number.wrapping_mul(u64::from(guest.pointer_bytes())));
            let ops = match guest.space.read_pointer(at) {
                Ok(ops) if ops.is_null() && number > 0 => continue,
                Ok(ops) => list::plausible(guest, ops).map(|()| ops),
                Err(fault) => Err(fault),
            };
            let said = ops.and_then(|ops| Ok((ops, self.members.number.read(&guest.space, ops)?)));
            // What follows the table has no number of its own there.
            if number >= DISCIPLINES.start && !matches!(said, Ok((_, own)) if own == number) {
                break;
            }
            let ops = match said {
                Ok((ops, _)) => ops,
                Err(fault) => return found.lost(symbols::tty_ldiscs, Some(fault)),
            };
            let entry = format!("{}[{number}]", symbols::tty_ldiscs);
            let first = number == 0;
            if first && own.is_some_and(|own| own != ops) {
                found.kernel(Says {
                    text: format!("{entry} leads to {ops}, which is not the kernel's own."),
                    ..leaves(self.context, &entry, at, ops)
                });
            }
            self.discipline(found, &entry, ops, if first { USUAL } else { &[] });
            all.push(ops);
        }
        self.registered = Some(all);
    }

    /// Every driver, with the terminals that it knows.
    fn drivers(&mut self, found: &mut Found) {
        let guest = &self.context.linux.guest;
        let Some(head) = guest.symbol(symbols::tty_drivers) else {
            return found.lost("tty_drivers in the profile", None);
        };
        let walked = list::ring(guest, head);
        if walked.nodes.is_empty() {
            found.lost("tty_drivers, which has none", None);
        }
        let closed = walked.end.is_closed();
        if !closed {
            found.ends.add(symbols::tty_drivers, walked.end);
        }
        let nodes = walked.nodes.into_iter();
        let drivers: Vec<_> = nodes
            .map(|node| self.members.link.container(node))
            .collect();
        self.drivers.clone_from(&drivers);
        self.listed = closed;
        for driver in drivers {
            self.driver(found, driver);
        }
    }

    /// A driver, with the terminals that it knows.
    fn driver(&mut self, found: &mut Found, driver: VirtAddr) {
        if let Some(at) = self.needed(found, "tty_driver.ops", self.members.driver_ops, driver) {
            self.operations(found, &format!("{}.ops", self.called(driver)), at, driver);
        }
        if let Err((what, fault)) = self.terminals(found, driver) {
            found.lost(what, fault);
        }
    }

    /// What a driver is called.
    fn called(&self, driver: VirtAddr) -> String {
        let space = &self.context.linux.guest.space;
        let name = self.own.name.map(|name| name.read(space, driver));
        let name = name.and_then(|at| space.read_cstr(at.ok()?, NAME).ok());
        format!("tty_driver {}", name.unwrap_or_default().escape_ascii())
    }

    /// Whether the array of a driver's terminals leads to `tty`; `None` where it keeps none, or that cannot be read.
    fn keeps(&self, driver: VirtAddr, tty: VirtAddr) -> Option<bool> {
        let guest = &self.context.linux.guest;
        let ttys = self.members.ttys.read(&guest.space, driver).ok()?;
        let index = self.tty.index?.read(&guest.space, tty).ok()?;
        let num = self.members.num.read(&guest.space, driver).ok()?;
        if ttys.is_null() || index >= num.min(MOST) {
            return None;
        }
        let place = ttys.plus(index.wrapping_mul(u64::from(guest.pointer_bytes())));
        Some(guest.space.read_pointer(place).ok()? == tty)
    }

    /// Meets a driver that the list lacks, which knows the terminal that led to it: that is what proves it to be one.
    fn unlisted(&mut self, found: &mut Found, tty: VirtAddr, driver: VirtAddr) -> bool {
        if self.keeps(driver, tty) != Some(true) {
            return false;
        }
        if self.listed {
            let name = self.called(driver);
            found.kernel(Says {
                severity: Severity::Medium,
                subject: name.clone().into_bytes(),
                text: format!("{name} has terminals in use, and the list of drivers lacks it."),
                evidence: Evidence::default().and(
                    "tty_struct.driver",
                    self.members.driver.place(tty),
                    driver.to_string(),
                ),
                address: driver,
            });
        }
        self.drivers.push(driver);
        self.driver(found, driver);
        true
    }

    /// The terminals that a driver knows.
    fn terminals(
        &mut self,
        found: &mut Found,
        driver: VirtAddr,
    ) -> Result<(), (&'static str, Option<Fault>)> {
        let guest = &self.context.linux.guest;
        let told = |what| move |fault| (what, Some(fault));
        let ttys = self.members.ttys.read(&guest.space, driver);
        let ttys = ttys.map_err(told("tty_driver.ttys"))?;
        if ttys.is_null() {
            let flags = self.own.flags.map(|flags| flags.read(&guest.space, driver));
            return match flags.transpose().map_err(told("tty_driver.flags"))? {
                Some(flags) if flags & DEVPTS == 0 => Err(("tty_driver.ttys, which is zero", None)),
                _ => Ok(()),
            };
        }
        let num = self.members.num.read(&guest.space, driver);
        let num = num.map_err(told("tty_driver.num"))?;
        if !(1..=MOST).contains(&num) {
            return Err(("tty_driver.num, which no driver has", None));
        }
        if !self.met.insert(ttys) {
            return Err(("tty_driver.ttys, which two drivers have", None));
        }
        for number in 0..num {
            let at = ttys.plus(number.wrapping_mul(u64::from(guest.pointer_bytes())));
            let tty = guest.space.read_pointer(at);
            let tty = tty.map_err(told("tty_driver.ttys"))?;
            if let Some(tty) = self.object(found, "tty_driver.ttys", Ok(tty)) {
                self.terminal(found, tty);
            }
        }
        Ok(())
    }

    /// The terminals of sessions: those of a window or of a login from afar are on no list.
    fn sessions(&mut self, found: &mut Found) {
        let linux = self.context.linux;
        let space = &linux.guest.space;
        let Some((signal, tty)) = linux.tasks.signal.zip(linux.signal.tty) else {
            return found.lost("signal_struct.tty in the profile", None);
        };
        for process in self.context.processes() {
            if let Some(signal) = self.needed(found, "task_struct.signal", signal, process.taskd) {
                let read = tty.read(space, signal);
                if let Some(tty) = self.object(found, "signal_struct.tty", read) {
                    self.terminal(found, tty);
                }
            }
        }
    }

    /// The terminals that open files lead to: those of a window or of a login from afar are on no list.
    fn files(&mut self, found: &mut Found) {
        open_files::each(self.context, found, &mut |found, file, private| {
            if let Some(tty) = self.terminal_of(file, private) {
                self.terminal(found, tty);
            }
        });
    }

    /// The terminal that an open file's `private` leads to, when it is a terminal's: a `tty_file_private`, whose second word
    /// leads back to the file, or of old kernels the terminal itself.
    fn terminal_of(&self, file: VirtAddr, private: VirtAddr) -> Option<VirtAddr> {
        let guest = &self.context.linux.guest;
        let word = u64::from(guest.pointer_bytes());
        let pointer = |at| guest.space.read_pointer(at).ok();
        let behind = (pointer(private.plus(word)) == Some(file)).then(|| pointer(private));
        let is_terminal = |tty: &VirtAddr| {
            let driver = self.members.driver.read(&guest.space, *tty);
            driver.is_ok_and(|driver| {
                self.drivers.contains(&driver) || self.keeps(driver, *tty) == Some(true)
            })
        };
        let mut may_be = [behind.flatten(), Some(private)].into_iter().flatten();
        may_be.find(|tty| guest.can_be_object(*tty) && is_terminal(tty))
    }

    /// A terminal, and the other end of a pair.
    fn terminal(&mut self, found: &mut Found, tty: VirtAddr) {
        let space = &self.context.linux.guest.space;
        let mut next = Some(tty);
        while let Some(tty) = next.filter(|tty| self.met.insert(*tty)) {
            let driver = self.members.driver.read(space, tty);
            let driver = match driver {
                Ok(driver) if self.drivers.contains(&driver) => driver,
                Ok(driver) if self.unlisted(found, tty, driver) => driver,
                Ok(_) => return found.lost("a terminal, whose driver is not on the list", None),
                Err(fault) => return found.lost("tty_struct.driver", Some(fault)),
            };
            let name = self.tty.name.map(|name| name.place(tty));
            let name = name.and_then(|at| space.read_cstr(at, NAME).ok());
            let name = format!("tty_struct {}", name.unwrap_or_default().escape_ascii());
            if self.keeps(driver, tty) == Some(false) {
                found.lost(&format!("tty_driver.ttys, which lacks {name}"), None);
            }
            if let Some(at) = self.needed(found, "tty_struct.ops", self.members.tty_ops, tty) {
                self.operations(found, &format!("{name}.ops"), at, driver);
            }
            self.discipline_of(found, tty, &format!("{name}.ldisc.ops"));
            self.port(found, tty, &format!("{name}.port.client_ops"));
            let other = self.tty.link.map(|link| link.read(space, tty));
            next = other.and_then(|other| self.object(found, "tty_struct.link", other));
        }
    }

    /// The line discipline of a terminal.
    fn discipline_of(&mut self, found: &mut Found, tty: VirtAddr, name: &str) {
        let space = &self.context.linux.guest.space;
        let read = self.members.ldisc.read(space, tty);
        let Some(ldisc) = self.object(found, "tty_struct.ldisc", read) else {
            let flags = self.tty.flags.map(|flags| flags.read(space, tty));
            if !matches!(flags, Some(Ok(flags)) if flags & OVER != 0) {
                found.lost("tty_struct.ldisc", None);
            }
            return;
        };
        let Some(at) = self.needed(found, "tty_ldisc.ops", self.members.ldisc_ops, ldisc) else {
            return;
        };
        if let Some(all) = &self.registered
            && !all.contains(&at)
        {
            let place = self.members.ldisc_ops.place(ldisc);
            let mut whose = at.to_string().into_bytes();
            if let Owner::Module(own) | Owner::Hidden(own) = self.context.owner(at) {
                whose = [&whose, &b" in module "[..], &own].concat();
            }
            found.kernel(Says {
                severity: Severity::Medium,
                subject: name.to_owned().into_bytes(),
                text: format!("{name} leads to {at}, which is no line discipline that the kernel's table of them has."),
                evidence: Evidence::default().and(name, place, whose),
                address: tty,
            });
        }
        self.discipline(found, name, at, &[]);
    }

    /// Where the port of a terminal hands on what comes in.
    fn port(&mut self, found: &mut Found, tty: VirtAddr, name: &str) {
        let space = &self.context.linux.guest.space;
        let Some((port, client)) = self.tty.port.zip(self.port.client_ops) else {
            return;
        };
        let read = port.read(space, tty);
        let Some(port) = self.object(found, "tty_struct.port", read) else {
            return;
        };
        if let Some(at) = self.needed(found, "tty_port.client_ops", client, port) {
            let table = Table {
                name,
                structure: Client::STRUCTURE,
                at,
                module: None,
                needs: CLIENT,
            };
            self.table(found, &table);
        }
    }
}
