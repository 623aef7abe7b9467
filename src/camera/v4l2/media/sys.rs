//! The kernel's media controller interface (`linux/media.h`): the structures, the requests, and safe wrappers around them. No
//! decisions are made here.
//!
//! Every field is naturally aligned, so the same definitions serve 64-bit and 32-bit targets. Numbers and layouts are the
//! kernel's; the tests compare them with those of its headers as a C compiler sees them.

use super::super::node::text;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const MEDIA_IOC_DEVICE_INFO: u32 = 0xc100_7c00;
const MEDIA_IOC_SETUP_LINK: u32 = 0xc034_7c03;
const MEDIA_IOC_G_TOPOLOGY: u32 = 0xc048_7c04;
/// The most objects of each kind that a device may have. The largest known devices (phone image processors) have a few hundred.
const MAX_OBJECTS: u32 = 4096;

/// How often a topology is reread if it keeps changing.
const MAX_READS: usize = 8;

/// `struct media_device_info`
#[repr(C)]
struct RawInfo {
    driver: [u8; 16],
    model: [u8; 32],
    serial: [u8; 40],
    bus_info: [u8; 32],
    media_version: u32,
    hw_revision: u32,
    driver_version: u32,
    reserved: [u32; 31],
}

/// `struct media_v2_entity`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawEntity {
    /// Unique among all objects of the device.
    pub id: u32,
    /// Up to the first zero byte.
    pub name: [u8; 64],
    /// `MEDIA_ENT_F_*`.
    pub function: u32,
    /// Default, connector.
    pub flags: u32,
    /// Reserved, zero.
    pub reserved: [u32; 5],
}

/// `struct media_v2_interface`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawInterface {
    /// Unique among all objects of the device.
    pub id: u32,
    /// `MEDIA_INTF_T_*`.
    pub kind: u32,
    /// None so far.
    pub flags: u32,
    /// Reserved, zero.
    pub reserved: [u32; 9],
    /// The device node's major number.
    pub major: u32,
    /// The device node's minor number.
    pub minor: u32,
    /// The rest of a union.
    pub rest: [u32; 14],
}

/// `struct media_v2_pad`
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct RawPad {
    /// Unique among all objects of the device.
    pub id: u32,
    /// The id of its entity.
    pub entity_id: u32,
    /// Sink, source.
    pub flags: u32,
    /// Its number in its entity (since Linux 4.19).
    pub index: u32,
    /// Reserved, zero.
    pub reserved: [u32; 4],
}

/// `struct media_v2_link`
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct RawLink {
    /// Unique among all objects of the device.
    pub id: u32,
    /// A pad; for an interface link the interface.
    pub source_id: u32,
    /// A pad; for an interface link the entity.
    pub sink_id: u32,
    /// Enabled, immutable, dynamic, and the kind of link.
    pub flags: u32,
    /// Reserved, zero.
    pub reserved: [u32; 6],
}

/// `struct media_v2_topology`
#[repr(C)]
#[derive(Default)]
struct RawTopology {
    version: u64,
    entities: u32,
    reserved1: u32,
    entities_at: u64,
    interfaces: u32,
    reserved2: u32,
    interfaces_at: u64,
    pads: u32,
    reserved3: u32,
    pads_at: u64,
    links: u32,
    reserved4: u32,
    links_at: u64,
}

/// `struct media_pad_desc`
#[repr(C)]
#[derive(Default)]
struct PadDescription {
    entity: u32,
    index: u16,
    flags: u32,
    reserved: [u32; 2],
}

/// `struct media_link_desc`
#[repr(C)]
#[derive(Default)]
struct LinkDescription {
    source: PadDescription,
    sink: PadDescription,
    flags: u32,
    reserved: [u32; 2],
}

/// What a media device reports about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The kernel driver's name.
    pub driver: String,
    /// The device's name.
    pub model: String,
    /// Where it is connected.
    pub bus: String,
    /// The kernel's version, `major << 16 | minor << 8 | patch`.
    pub media_version: u32,
}

/// All parts of a media device, as the kernel lists them.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// Sensors, receivers, image processors, nodes.
    pub entities: Vec<RawEntity>,
    /// The device nodes that user space opens.
    pub interfaces: Vec<RawInterface>,
    /// Where links attach to entities.
    pub pads: Vec<RawPad>,
    /// The links between them.
    pub links: Vec<RawLink>,
}

/// One ioctl; restarted if a signal interrupts it.
///
/// # Safety
/// `T` must be the structure of `request`, and every pointer in it must point to as much memory as it says.
unsafe fn call<T>(file: &File, request: u32, argument: &mut T) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open and the argument lives for the call; its layout and pointers are the caller's promise.
        let answer =
            unsafe { libc::ioctl(file.as_raw_fd(), request as _, std::ptr::from_mut(argument)) };
        if answer != -1 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// What the device reports about itself.
pub fn info(media: &File) -> io::Result<Info> {
    let mut raw = RawInfo {
        driver: [0; 16],
        model: [0; 32],
        serial: [0; 40],
        bus_info: [0; 32],
        media_version: 0,
        hw_revision: 0,
        driver_version: 0,
        reserved: [0; 31],
    };
    // SAFETY: the structure of this request; it holds no pointers.
    unsafe { call(media, MEDIA_IOC_DEVICE_INFO, &mut raw) }?;
    Ok(Info {
        driver: text(&raw.driver),
        model: text(&raw.model),
        bus: text(&raw.bus_info),
        media_version: raw.media_version,
    })
}

/// All parts of the device, at one moment.
///
/// # Errors
/// The system's; or our own for a device with too many objects, or one that keeps changing.
pub fn objects(media: &File) -> io::Result<Objects> {
    for _ in 0..MAX_READS {
        let mut counts = RawTopology::default();
        // SAFETY: the structure of this request; with its pointers null the kernel writes nothing through them.
        unsafe { call(media, MEDIA_IOC_G_TOPOLOGY, &mut counts) }?;
        let all = [
            counts.entities,
            counts.interfaces,
            counts.pads,
            counts.links,
        ];
        if all.iter().any(|&count| count > MAX_OBJECTS) {
            return Err(io::Error::other(format!(
                "it has {} entities, {} interfaces, {} pads and {} links, more than {MAX_OBJECTS} of a kind",
                all[0], all[1], all[2], all[3]
            )));
        }
        match objects_of(media, &counts) {
            Ok(Some(objects)) => return Ok(objects),
            // Another object appeared between the two calls.
            Ok(None) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!(
        "its parts changed {MAX_READS} times while they were read"
    )))
}

/// The objects, as many as `counts` says; `None` if the counts are no longer right.
fn objects_of(media: &File, counts: &RawTopology) -> io::Result<Option<Objects>> {
    let nothing = RawEntity {
        id: 0,
        name: [0; 64],
        function: 0,
        flags: 0,
        reserved: [0; 5],
    };
    let closed = RawInterface {
        id: 0,
        kind: 0,
        flags: 0,
        reserved: [0; 9],
        major: 0,
        minor: 0,
        rest: [0; 14],
    };
    let mut objects = Objects {
        entities: vec![nothing; counts.entities as usize],
        interfaces: vec![closed; counts.interfaces as usize],
        pads: vec![RawPad::default(); counts.pads as usize],
        links: vec![RawLink::default(); counts.links as usize],
    };
    // The kernel treats a null pointer as "not wanted", and an empty list has no memory.
    fn at<T>(list: &mut [T]) -> u64 {
        if list.is_empty() {
            0
        } else {
            list.as_mut_ptr() as usize as u64
        }
    }
    let mut topology = RawTopology {
        entities: counts.entities,
        entities_at: at(&mut objects.entities),
        interfaces: counts.interfaces,
        interfaces_at: at(&mut objects.interfaces),
        pads: counts.pads,
        pads_at: at(&mut objects.pads),
        links: counts.links,
        links_at: at(&mut objects.links),
        ..RawTopology::default()
    };
    // SAFETY: the structure of this request. Each pointer is null or points to a list of as many structures of the kernel's
    // layout as the count beside it says; the kernel writes no more than that (ENOSPC). The lists live for the call and are not
    // touched during it.
    unsafe { call(media, MEDIA_IOC_G_TOPOLOGY, &mut topology) }?;
    let same = topology.version == counts.version
        && topology.entities == counts.entities
        && topology.interfaces == counts.interfaces
        && topology.pads == counts.pads
        && topology.links == counts.links;
    Ok(same.then_some(objects))
}

/// Enables or disables a link between two pads, each given by its entity's id and its own index.
pub fn setup_link(
    media: &File,
    source: (u32, u16),
    sink: (u32, u16),
    flags: u32,
) -> io::Result<()> {
    let pad = |(entity, index)| PadDescription {
        entity,
        index,
        ..PadDescription::default()
    };
    let mut link = LinkDescription {
        source: pad(source),
        sink: pad(sink),
        flags,
        ..LinkDescription::default()
    };
    // SAFETY: the structure of this request; it holds no pointers.
    unsafe { call(media, MEDIA_IOC_SETUP_LINK, &mut link) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    /// The sizes are literals that a C compiler computed from the kernel's header, the same on 64-bit and 32-bit ARM; each number
    /// is also computed by the `_IOWR` rule of `asm-generic/ioctl.h`.
    #[test]
    fn structures_and_numbers_are_the_kernels() {
        for (number, command, ours, kernels) in [
            (MEDIA_IOC_DEVICE_INFO, 0, size_of::<RawInfo>(), 256),
            (MEDIA_IOC_SETUP_LINK, 3, size_of::<LinkDescription>(), 52),
            (MEDIA_IOC_G_TOPOLOGY, 4, size_of::<RawTopology>(), 72),
        ] {
            assert_eq!(ours, kernels, "{number:#x}");
            let rule = 3 << 30 | (kernels as u32) << 16 | u32::from(b'|') << 8 | command;
            assert_eq!(number, rule, "{number:#x}");
        }
        assert_eq!(size_of::<RawEntity>(), 96);
        assert_eq!(size_of::<RawInterface>(), 112);
        assert_eq!(size_of::<RawPad>(), 32);
        assert_eq!(size_of::<RawLink>(), 40);
        assert_eq!(offset_of!(RawEntity, function), 68);
        assert_eq!(offset_of!(RawInterface, major), 48);
        assert_eq!(offset_of!(RawTopology, links_at), 64);
        assert_eq!(offset_of!(LinkDescription, sink), 20);
        assert_eq!(offset_of!(LinkDescription, flags), 40);
    }

    #[test]
    fn a_file_that_is_no_media_device_is_an_error() {
        let file = File::open("/dev/null").expect("there is /dev/null");
        assert!(info(&file).is_err());
        assert!(objects(&file).is_err());
        assert!(setup_link(&file, (1, 0), (2, 0), 1).is_err());
    }
}
