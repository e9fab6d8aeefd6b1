//! What `ps --wide` shows: credentials, control group, namespaces, session, times, sizes, places.

pub(crate) mod cgroup;
pub(crate) mod credentials;
pub(crate) mod namespaces;
pub(crate) mod numbers;
mod reader;
pub(crate) mod resident;
mod scheduling;
mod seccomp;
mod times;

use osier_memory::{Each, VirtAddr};
use osier_osi::{Absent, Choice, LinuxWide, Process, ProcessExtra, Seen, WalkEnds};
use osier_profile::{Field, Ptr, Resolver, UInt};

use crate::layouts::Tty;
use crate::layouts::files::FsStruct;
use crate::path::Place;
use crate::tasks;
use crate::{Linux, memory, process};
use cgroup::{Groups, container};
use credentials::{GroupInfo, capabilities, groups, login};
use namespaces::Spaces;
use numbers::{Member, Numbers};
use reader::Reader;
use resident::Resident;
use times::{most, times};

/// What is read, resolved once a question.
struct Wide<'a> {
    reader: Reader<'a>,
    /// Nanoseconds that a process ran at most.
    most_time: Option<u64>,
    group_info: GroupInfo,
    numbers: Numbers,
    spaces: Spaces,
    cgroup: Groups,
    tty: Tty,
    resident: Resident,
    places: FsStruct,
}

/// The processes that are wanted, with what `ps --wide` shows of them.
pub(crate) fn processes(
    linux: &Linux,
    wanted: Option<Choice<'_>>,
    row: Each<'_, Process>,
) -> WalkEnds {
    let profile = linux.guest.profile.clone();
    let wide = Wide::resolve(linux, &mut Resolver::new(&profile));
    tasks::processes(linux, wanted, &mut |mut process| {
        let taskd = process.taskd;
        if let ProcessExtra::Linux(extra) = &mut process.extra {
            extra.wide = Some(Box::new(wide.of(taskd)));
        }
        row(process)
    })
}

impl<'a> Wide<'a> {
    fn resolve(linux: &'a Linux, resolver: &mut Resolver<'_>) -> Self {
        Self {
            reader: Reader::new(linux),
            most_time: most(linux),
            group_info: GroupInfo::resolve(resolver),
            numbers: Numbers::resolve(resolver),
            spaces: Spaces::resolve(resolver),
            cgroup: Groups::resolve(resolver),
            tty: Tty::resolve(resolver),
            resident: Resident::resolve(resolver),
            places: FsStruct::resolve(resolver),
        }
    }

    fn of(&self, task: VirtAddr) -> LinuxWide {
        let reader = &self.reader;
        let linux = reader.linux;
        let cred = process::cred(linux, task);
        let of_kernel = memory::kernel_thread(linux, task) == Ok(true);
        let id = |field: Option<Field<UInt>>| {
            let cred = cred.clone()?;
            let id = reader.id(field, cred)?;
            if of_kernel && id != 0 {
                let rule = "a thread of the kernel belongs to root";
                let at = field.map(|field| field.place(cred));
                return Err(Absent::implausible(id.into(), rule, at));
            }
            Ok(id)
        };
        let signal = reader.object(linux.tasks.signal, task);
        let mm = memory::mm(linux, task);
        let (utime, stime) = match times(reader, self.most_time, task, &signal) {
            Ok((utime, stime)) => (Ok(utime), Ok(stime)),
            Err(absent) => (Err(absent.clone()), Err(absent)),
        };
        let cgroup = self.cgroup.path(reader, task);
        let container = cgroup.clone().and_then(|path| {
            let none = || Absent::not_applicable("no control group of a container");
            container(&path).ok_or_else(none)
        });
        LinuxWide {
            euid: id(reader.cred.euid),
            suid: id(reader.cred.suid),
            fsuid: id(reader.cred.fsuid),
            egid: id(reader.cred.egid),
            groups: cred
                .clone()
                .and_then(|cred| groups(reader, &self.group_info, cred, of_kernel)),
            caps: cred.clone().and_then(|cred| capabilities(reader, cred)),
            loginuid: login(reader, task),
            seccomp: seccomp::mode(reader, task, of_kernel),
            cgroup,
            container,
            ns: self.spaces.of(reader, &self.numbers, task, &cred),
            ns_pid: self.numbers.own_pid(reader, task).map(|(number, _)| number),
            session_id: signal.clone().and_then(|signal| {
                self.numbers
                    .group_number(reader, task, signal, Member::Session)
            }),
            pgid: signal.clone().and_then(|signal| {
                self.numbers
                    .group_number(reader, task, signal, Member::Group)
            }),
            tty: signal.and_then(|signal| self.tty(signal)),
            tracer: self.tracer(task),
            nice: scheduling::nice(reader, task),
            policy: scheduling::policy(reader, task),
            utime,
            stime,
            vsize: mm.clone().and_then(|mm| Resident::vsize(reader, mm)),
            rss: mm.and_then(|mm| self.resident.rss(reader, mm)),
            cwd: self.place(task, self.places.pwd, self.places.pwd_mnt),
            root: self.place(task, self.places.root, self.places.root_mnt),
        }
    }

    fn tty(&self, signal: VirtAddr) -> Seen<Vec<u8>> {
        let field = self
            .reader
            .group
            .tty
            .ok_or_else(Absent::not_in_this_kernel)?;
        let space = &self.reader.linux.guest.space;
        let tty = field.read(space, signal).map_err(Absent::unreadable)?;
        if tty.is_null() {
            return Err(Absent::not_applicable("no controlling terminal"));
        }
        let tty = self.reader.object(Some(field), signal)?;
        let name = self.tty.name.ok_or_else(Absent::not_in_this_kernel)?;
        let text = space.read_cstr(name.place(tty), 64);
        let text = text.map_err(Absent::unreadable)?;
        if text.is_empty() {
            let rule = "a terminal has a name";
            return Err(Absent::implausible(0, rule, Some(name.place(tty))));
        }
        Ok(text)
    }

    fn tracer(&self, task: VirtAddr) -> Seen<u32> {
        let tasks = &self.reader.linux.tasks;
        let traced = self.reader.value(tasks.ptrace, task)?;
        if let Some(entry) = self.reader.task.ptrace_entry {
            let place = entry.place(task);
            let next = self.reader.linux.guest.space.read_pointer(place);
            if (next.map_err(Absent::unreadable)? != place) != (traced != 0) {
                let rule = "what is traced is on a list of its tracer's (ptrace, ptrace_entry)";
                return Err(Absent::implausible(traced, rule, Some(place)));
            }
        }
        if traced == 0 {
            return Err(Absent::not_applicable("nobody traces it"));
        }
        let parent = self.reader.object(tasks.parent, task)?;
        process::tid(self.reader.linux, parent)
    }

    fn place(
        &self,
        task: VirtAddr,
        dentry: Option<Field<Ptr<()>>>,
        mnt: Option<Field<Ptr<()>>>,
    ) -> Seen<Vec<u8>> {
        let fs = self
            .reader
            .kept(self.reader.linux.maps.paths.task_fs(), task)?;
        let linux = self.reader.linux;
        linux.maps.paths.users(&linux.guest, fs)?;
        let place = Place {
            mnt: self.reader.object(mnt, fs)?,
            dentry: self.reader.object(dentry, fs)?,
        };
        linux.maps.paths.at(&linux.guest, place)
    }
}
