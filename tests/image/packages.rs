//! Made-up Debian packages: as small as they can be and still be what `eyelet image` takes.

use eyelet::firmware::identity::WORDS;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write;

type File<'a> = (&'a str, &'a [u8]);

/// A kernel's package with the files that a Debian kernel has: an image, device trees, modules.
pub fn kernel() -> Vec<u8> {
    let image = kernel_image();
    let module = |info: &str| format!("\x7fELF\0{info}\0").into_bytes();
    let (plain, camera) = (module("depends="), module("license=GPL\0depends=videodev"));
    let modules = "./lib/modules/6.1.9-arm64";
    deb(
        "linux-image-6.1.9-arm64",
        "6.1.9-1",
        ".gz",
        &[
            ("./boot/vmlinuz-6.1.9-arm64", &image),
            (
                "./usr/lib/linux-image-6.1.9-arm64/broadcom/bcm2837-rpi-3-b.dtb",
                b"pi 3",
            ),
            (
                "./usr/lib/linux-image-6.1.9-arm64/broadcom/bcm2837-rpi-zero-2-w.dtb",
                b"zero",
            ),
            (
                "./usr/lib/linux-image-6.1.9-arm64/broadcom/bcm2711-rpi-4-b.dtb",
                b"pi 4",
            ),
            (
                "./usr/lib/linux-image-6.1.9-arm64/broadcom/bcm2712-rpi-5-b.dtb",
                b"pi 5",
            ),
            (
                "./usr/lib/linux-image-6.1.9-arm64/rockchip/rk3399.dtb",
                b"no pi",
            ),
            (
                &format!("{modules}/modules.builtin"),
                b"kernel/drivers/virtio_gpu.ko\n",
            ),
            (&format!("{modules}/kernel/uvcvideo.ko"), &camera),
            (&format!("{modules}/kernel/vivid.ko"), &camera),
            (&format!("{modules}/kernel/videodev.ko"), &plain),
            (&format!("{modules}/kernel/virtio_pci.ko"), &plain),
            (&format!("{modules}/kernel/virtio_blk.ko"), &plain),
        ],
    )
}

/// One that knows no Raspberry Pi.
pub fn kernel_without_device_trees() -> Vec<u8> {
    let module = b"\x7fELF\0depends=\0";
    deb(
        "linux-image-5.1.0-arm64",
        "5.1.0-1",
        "",
        &[
            ("./boot/vmlinuz-5.1.0-arm64", &kernel_image()),
            ("./lib/modules/5.1.0-arm64/kernel/vivid.ko", module),
        ],
    )
}

/// The Raspberry Pi's boot files.
pub fn firmware() -> Vec<u8> {
    let folder = "./usr/lib/raspi-firmware";
    deb(
        "raspi-firmware",
        "1.2022",
        ".gz",
        &[
            (
                "./usr/share/doc/raspi-firmware/copyright",
                b"may be shipped",
            ),
            (&format!("{folder}/bootcode.bin"), b"boot code"),
            (&format!("{folder}/start.elf"), b"start"),
            (&format!("{folder}/start4.elf"), b"start 4"),
            (&format!("{folder}/fixup.dat"), b"fix"),
            (&format!("{folder}/fixup4.dat"), b"fix 4"),
            (&format!("{folder}/start_x.elf"), b"not wanted"),
        ],
    )
}

/// A package whose files are packed in a way that is not read.
pub fn packed_as_zst() -> Vec<u8> {
    let control = gzip(&tar(&[("./control", control("x", "1").as_bytes())]));
    ar(&[("control.tar.gz", &control), ("data.tar.zst", b"zst")])
}

/// The shell of a board that asks for one.
pub fn busybox() -> Vec<u8> {
    busybox_that_is(&arm_program("a shell"))
}

/// The same for another processor.
pub fn busybox_for_amd64() -> Vec<u8> {
    let mut program = arm_program("a shell");
    program[18] = 62;
    busybox_that_is(&program)
}

fn busybox_that_is(program: &[u8]) -> Vec<u8> {
    let licence = "./usr/share/doc/busybox-static/copyright";
    deb(
        "busybox-static",
        "1:1.35",
        ".gz",
        &[("./bin/busybox", program), (licence, b"may be shipped too")],
    )
}

/// The board's program, as far as `eyelet image` looks at it.
pub fn program() -> Vec<u8> {
    arm_program(WORDS)
}

/// The same of another version.
pub fn program_of_version(version: &str) -> Vec<u8> {
    arm_program(&WORDS.replace(env!("CARGO_PKG_VERSION"), version))
}

/// The header of a static 64-bit ARM program, and words behind it.
fn arm_program(words: &str) -> Vec<u8> {
    let mut elf = vec![0; 4096];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    elf[18] = 183;
    elf.extend(words.as_bytes());
    elf
}

/// The digest of `bytes` in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn kernel_image() -> Vec<u8> {
    let mut image = vec![0; 4096];
    image[0x38..0x3c].copy_from_slice(b"ARM\x64");
    image
}

fn control(name: &str, version: &str) -> String {
    format!("Package: {name}\nVersion: {version}\nArchitecture: arm64\nDescription: made up\n")
}

/// A package; `packing` is how its files are packed, `""` or `.gz`.
fn deb(name: &str, version: &str, packing: &str, files: &[File<'_>]) -> Vec<u8> {
    let control = gzip(&tar(&[("./control", control(name, version).as_bytes())]));
    let data = tar(files);
    let data = if packing == ".gz" { gzip(&data) } else { data };
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", &control),
        (&format!("data.tar{packing}"), &data),
    ])
}

fn ar(members: &[File<'_>]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, contents) in members {
        let length = contents.len();
        writeln!(
            archive,
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{length:<10}`",
            0, 0, 0, 100644
        )
        .unwrap();
        archive.extend(*contents);
        archive.resize(archive.len().next_multiple_of(2), b'\n');
    }
    archive
}

fn tar(files: &[File<'_>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, contents) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, *contents).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}
