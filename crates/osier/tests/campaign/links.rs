//! Lies told with care: objects taken out of one list or of all, lists that end early or never, and
//! what a forger would change along with them.

use osier::osier_memory::VirtAddr;

use crate::editor::{Editor, Writes};
use crate::names::Names;
use crate::subject::Subject;
use crate::{Damage, windows};

/// Nodes of a list that are walked here.
const NODES: usize = 4_096;

impl Editor<'_> {
    /// The place of a node's backward link; the forward one is the node's first word.
    fn prev(&self, node: VirtAddr) -> VirtAddr {
        node.plus(self.width as u64)
    }

    /// The nodes of the circular list at `head`, as far as it is to be read.
    fn nodes(&self, head: VirtAddr) -> Vec<VirtAddr> {
        let mut nodes = Vec::new();
        let mut at = head;
        while let Some(next) = self.pointer(at)
            && next != head
            && next.0 != 0
            && nodes.len() < NODES
        {
            nodes.push(next);
            at = next;
        }
        nodes
    }

    /// Takes `node` out as the kernel would.
    fn unlink(&self, node: VirtAddr) -> Writes {
        let links = self.pointer(node).zip(self.pointer(self.prev(node)));
        let Some((next, prev)) = links else {
            return Vec::new();
        };
        [self.put(prev, next), self.put(self.prev(next), prev)].concat()
    }

    /// Every lie about the circular list at `head`.
    pub(crate) fn list(&self, name: &str, head: VirtAddr, most: usize) -> Vec<Damage> {
        let nodes = self.nodes(head);
        let mut all = Vec::new();
        let Some(&first) = nodes.first() else {
            return all;
        };
        let mut say = |how: &str, writes: Writes| all.push(damage(name, how, writes));
        say(
            "emptied",
            [self.put(head, head), self.put(self.prev(head), head)].concat(),
        );
        say("emptied forwards", self.put(head, head));
        say("emptied backwards", self.put(self.prev(head), head));
        say(
            "head is null",
            [
                self.put(head, VirtAddr(0)),
                self.put(self.prev(head), VirtAddr(0)),
            ]
            .concat(),
        );
        let step = nodes.len().div_ceil(most).max(1);
        for (at, &node) in nodes.iter().enumerate().step_by(step) {
            let (next, prev) = (node, self.prev(node));
            say("one unlinked", self.unlink(node));
            if let Some(after) = self.pointer(next) {
                let before = self.pointer(prev).unwrap_or(head);
                say("one unlinked forwards", self.put(before, after));
                say("one unlinked backwards", self.put(self.prev(after), before));
            }
            say("a loop to itself", self.put(next, node));
            say(
                "a loop to itself, both ways",
                [self.put(next, node), self.put(prev, node)].concat(),
            );
            say("a cycle to the first", self.put(next, first));
            say(
                "cut to the head",
                [self.put(next, head), self.put(self.prev(head), node)].concat(),
            );
            say("a node 8 bytes on", self.put(next, node.plus(8)));
            say("a link to null", self.put(next, VirtAddr(0)));
            say(
                "a link to the user half",
                self.put(next, VirtAddr(0x40_1000)),
            );
            if let Some(&far) = nodes.get(at + 2) {
                say(
                    "two skipped",
                    [self.put(next, far), self.put(self.prev(far), node)].concat(),
                );
            }
        }
        all
    }
}

pub(crate) fn damage(place: &str, how: &str, writes: Writes) -> Damage {
    Damage {
        how: how.to_owned(),
        place: place.to_owned(),
        writes,
        missing: None,
    }
}

/// Every lie about the links of a kernel.
pub(crate) fn damages(subject: &Subject, names: &Names) -> Vec<Damage> {
    let editor = Editor::of(subject);
    let objects = |ty: &str| names.objects.get(ty).into_iter().flatten().copied();
    let mut all = windows::links(&editor, &*subject.open().provider());
    let init = editor.symbol("init_task").unwrap_or_default();
    if let Some(head) = editor.place("task_struct", init, "tasks") {
        all.extend(editor.list("task list", head, 80));
    }
    if let Some(head) = editor.symbol("modules") {
        all.extend(editor.list("module list", head, 80));
    }
    for task in objects("task_struct") {
        if let Some(head) = editor.place("task_struct", task, "children") {
            all.extend(editor.list("children", head, 4));
        }
        all.extend(hidden_task(&editor, task));
    }
    for signal in objects("signal_struct") {
        if let Some(head) = editor.place("signal_struct", signal, "thread_head") {
            all.extend(editor.list("threads of a process", head, 10));
        }
    }
    for mm in objects("mm_struct") {
        all.extend(mappings(&editor, mm));
    }
    all.retain(|damage| {
        let words = damage.writes.iter().map(|(pa, _)| pa.0 / 4 * 4);
        !subject.parts_of(words).is_empty()
    });
    all
}

/// A task taken out of several lists at once.
fn hidden_task(editor: &Editor<'_>, task: VirtAddr) -> Vec<Damage> {
    let node = |path| editor.place("task_struct", task, path);
    let unlinked = |path| node(path).map_or_else(Vec::new, |node| editor.unlink(node));
    let (tasks, sibling, thread) = (
        unlinked("tasks"),
        unlinked("sibling"),
        unlinked("thread_node"),
    );
    // Of its struct pid: both the process and the thread by that number.
    let pid = node("thread_pid")
        .and_then(|at| editor.pointer(at))
        .filter(|pid| pid.0 != 0);
    let numbers = pid.and_then(|pid| editor.place("pid", pid, "tasks"));
    let unnumbered: Writes = numbers.map_or_else(Vec::new, |heads| {
        let of = |kind: u64| editor.put(heads.plus(kind * editor.width as u64), VirtAddr(0));
        [of(0), of(1)].concat()
    });
    let signal = node("signal")
        .and_then(|at| editor.pointer(at))
        .unwrap_or_default();
    let count = editor.less_one("signal_struct", signal, "nr_threads");
    let all_threads = editor.symbol("nr_threads").map_or_else(Vec::new, |at| {
        let old = editor.space.read_uint(at, 4).unwrap_or(0);
        editor.put_uint(at, old.wrapping_sub(1), 4)
    });
    vec![
        damage("a task", "no number", unnumbered.clone()),
        damage(
            "a task",
            "out of the task list and children",
            [tasks.clone(), sibling.clone()].concat(),
        ),
        damage(
            "a task",
            "out of the task list and its number",
            [tasks.clone(), unnumbered.clone()].concat(),
        ),
        damage(
            "a task",
            "out of the task list, children and its number",
            [tasks.clone(), sibling.clone(), unnumbered.clone()].concat(),
        ),
        damage(
            "a task",
            "out of the task list, children, its number and the count of threads",
            [tasks, sibling, unnumbered.clone(), all_threads].concat(),
        ),
        damage(
            "a thread",
            "out of its list, count lessened",
            [thread.clone(), count.clone()].concat(),
        ),
        damage(
            "a thread",
            "out of its list and its number",
            [thread.clone(), unnumbered.clone()].concat(),
        ),
        damage(
            "a thread",
            "out of its list and its number, count lessened",
            [thread, unnumbered, count].concat(),
        ),
    ]
}

/// Lies about the mappings of an `mm_struct`.
fn mappings(editor: &Editor<'_>, mm: VirtAddr) -> Vec<Damage> {
    let field = |path: &str| editor.place("mm_struct", mm, path);
    let zero = |path: &str| field(path).map_or_else(Vec::new, |at| editor.put(at, VirtAddr(0)));
    let count = |value: u64| match (field("map_count"), editor.bytes("mm_struct", "map_count")) {
        (Some(at), Some(width)) => editor.put_uint(at, value, width),
        _ => Vec::new(),
    };
    let roots = [zero("mm_mt.ma_root"), zero("mmap"), zero("mm_rb")].concat();
    let mut all = vec![
        damage(
            "mappings of a process",
            "no root, no count",
            [roots.clone(), count(0)].concat(),
        ),
        damage(
            "mappings of a process",
            "no root, no count, no total",
            [roots.clone(), count(0), zero("total_vm")].concat(),
        ),
        damage("mappings of a process", "count of 1", count(1)),
        damage("mappings of a process", "negative count", count(u64::MAX)),
    ];
    let mut vma = field("mmap")
        .and_then(|at| editor.pointer(at))
        .unwrap_or_default();
    let less = editor.less_one("mm_struct", mm, "map_count");
    let mut before = field("mmap");
    for _ in 0..64 {
        let link = |path| editor.place("vm_area_struct", vma, path);
        let (Some(next), Some(prev), Some(from)) = (link("vm_next"), link("vm_prev"), before)
        else {
            break;
        };
        if vma.0 == 0 {
            break;
        }
        let after = editor.pointer(next).unwrap_or_default();
        let unlinked = [
            editor.put(from, after),
            editor
                .place("vm_area_struct", after, "vm_prev")
                .map_or_else(Vec::new, |back| {
                    editor.put(back, editor.pointer(prev).unwrap_or_default())
                }),
        ]
        .concat();
        all.push(damage("mapping list", "one unlinked", unlinked.clone()));
        all.push(damage(
            "mapping list",
            "one unlinked, count lessened",
            [unlinked, less.clone()].concat(),
        ));
        all.push(damage(
            "mapping list",
            "ends early",
            editor.put(next, VirtAddr(0)),
        ));
        all.push(damage(
            "mapping list",
            "a loop to itself",
            editor.put(next, vma),
        ));
        before = Some(next);
        vma = after;
    }
    all
}
