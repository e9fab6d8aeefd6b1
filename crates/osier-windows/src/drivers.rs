//! Drivers: the objects in `\Driver` and `\FileSystem`, and the images that they say they are of.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen, SeenExt as _, WalkEnd, WalkEnds};

use crate::windows::Windows;
use crate::{directory, object, unicode};

/// The walk's name in endings.
const WALK: &str = "drivers";

/// A driver's object.
pub(crate) struct Driver {
    /// Its path in the object manager's tree, as it says itself.
    pub(crate) name: Seen<Vec<u8>>,
    /// First address of its image; null for what the kernel made itself.
    pub(crate) start: Seen<VirtAddr>,
    /// Bytes of its image.
    pub(crate) bytes: Seen<u64>,
    /// The loader's entry of its image; null likewise.
    pub(crate) section: Seen<VirtAddr>,
}

impl Driver {
    /// Whether `at` lies in its image, as far as its object says where that is.
    pub(crate) fn holds(&self, at: VirtAddr) -> bool {
        let (Some(start), Some(bytes)) = (self.start.value(), self.bytes.value()) else {
            return false;
        };
        (start..start.plus(bytes)).contains(&at)
    }
}

/// The drivers in the object manager's directories.
pub(crate) fn in_directories(windows: &Windows) -> (Vec<VirtAddr>, WalkEnds) {
    let mut ends = WalkEnds::default();
    let mut found = Vec::new();
    for name in ["Driver", "FileSystem"] {
        let (objects, of_directory) = directory::in_root(windows, name);
        ends.join(of_directory);
        for at in objects {
            match is_driver(windows, at) {
                Ok(true) => found.push(at),
                Ok(false) => {}
                Err(absent) => {
                    let what = "the type of an object among drivers";
                    ends.add(WALK, WalkEnd::without(what, &absent));
                }
            }
        }
    }
    (found, ends)
}

/// Whether the object at `at` is a driver's, by its header and by how it begins.
fn is_driver(windows: &Windows, at: VirtAddr) -> Seen<bool> {
    /// `IO_TYPE_DRIVER`, in the first two bytes.
    const DRIVER: u64 = 4;
    let Some(header) = object::header(windows, at) else {
        return Err(Absent::not_in_this_kernel());
    };
    let kind = object::kind(windows, header)?;
    let begins = windows.guest.space.read_uint(at, 2);
    let (said, begun) = (
        kind.name == b"Driver",
        begins.map_err(Absent::unreadable)? == DRIVER,
    );
    if said != begun {
        let rule = "an object among drivers begins as one of its type does (Type)";
        return Err(Absent::implausible(u64::from(begun), rule, Some(at)));
    }
    Ok(said)
}

/// What the driver's object at `at` says.
pub(crate) fn driver(windows: &Windows, at: VirtAddr) -> Driver {
    let (space, layout) = (&windows.guest.space, &windows.driver.driver);
    let pointer = |field: Option<osier_profile::Field<osier_profile::Ptr<()>>>| match field {
        Some(field) => field.read(space, at).map_err(Absent::unreadable),
        None => Err(Absent::not_in_this_kernel()),
    };
    Driver {
        name: match layout.name {
            Some(name) => unicode::path(space, name.place(at), windows.guest.pointer_bytes()),
            None => Err(Absent::not_in_this_kernel()),
        },
        start: pointer(layout.start),
        bytes: match layout.bytes {
            Some(bytes) => bytes.read(space, at).map_err(Absent::unreadable),
            None => Err(Absent::not_in_this_kernel()),
        },
        section: pointer(layout.section),
    }
}

/// The functions of the driver's object at `at`: where each pointer stands, and where it leads.
pub(crate) fn functions(windows: &Windows, at: VirtAddr) -> Seen<Vec<(VirtAddr, VirtAddr)>> {
    /// `IRP_MJ_MAXIMUM_FUNCTION + 1`.
    const FUNCTIONS: u64 = 28;
    let Some(field) = windows.driver.driver.functions else {
        return Err(Absent::not_in_this_kernel());
    };
    let word = u64::from(windows.guest.pointer_bytes());
    let one = |nth: u64| {
        let place = field.place(at).plus(nth.saturating_mul(word));
        let to = windows.guest.space.read_pointer(place);
        to.map(|to| (place, to))
    };
    (0..FUNCTIONS)
        .map(one)
        .collect::<Result<_, _>>()
        .map_err(Absent::unreadable)
}
