//! Made-up Debian packages: as small as they can be and still be what `eyelet image` takes.

use eyelet::firmware::identity::WORDS;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::process::{Command, Stdio};

type File<'a> = (&'a str, &'a [u8]);

/// What a made-up kernel has built in: all that machines need and that no test looks for.
const BUILT_IN: [&str; 17] = [
    "virtio_gpu",
    "xhci-pci",
    "phy-generic",
    "dwc2",
    "fixed",
    "sdhci-iproc",
    "bcm2835",
    "reset-raspberrypi",
    "pcie-brcmstb",
    "gpio-regulator",
    "i2c-bcm2835",
    "i2c-mux-pinctrl",
    "bcm2835_wdt",
    "bcm2835_thermal",
    "bcm2711_thermal",
    "cpufreq-dt",
    "raspberrypi-cpufreq",
];

/// A Raspberry Pi 5's drivers that such a list has; the others are [`PI_5_CONFIG`]'s.
const PI_5: [&str; 9] = [
    "clk-rp1",
    "pinctrl-rp1",
    "rp1_pci",
    "dwc3",
    "xhci-plat-hcd",
    "gpio-brcmstb",
    "sdhci-brcmstb",
    "i2c-designware-platform",
    "i2c-brcmstb",
];

/// What Raspberry Pi OS builds in without a licence, so that no list has it.
const PI_5_CONFIG: &str = "# Linux/arm64\nCONFIG_BCM2712_MIP=y\n# CONFIG_PINCTRL_BCM2835 is not set\nCONFIG_PINCTRL_BCM2712=y\n";

/// A list of what is built in.
fn built_in(names: &[&str]) -> String {
    let lines = names
        .iter()
        .map(|name| format!("kernel/drivers/{name}.ko\n"));
    lines.collect()
}

const MODULE: &[u8] = b"\x7fELF\0depends=\0";

/// A kernel in parts, as Debian has it since Linux 7.2: the kernel, its modules, its device trees.
pub fn kernel_in_parts() -> [Vec<u8>; 3] {
    let release = "7.3.4+deb13-arm64";
    let modules = format!("./usr/lib/modules/{release}");
    let names = [
        "uvcvideo",
        "irq-bcm2712-mip",
        "clk-rp1",
        "pinctrl-rp1",
        "rp1_pci",
        "dwc3",
        "xhci-plat-hcd",
        "gpio-brcmstb",
        "pinctrl-brcmstb-bcm2712",
        "sdhci-brcmstb",
    ];
    let drivers: Vec<_> = names
        .iter()
        .map(|name| (format!("{modules}/kernel/{name}.ko"), MODULE))
        .collect();
    let drivers: Vec<File<'_>> = drivers
        .iter()
        .map(|(path, bytes)| (&path[..], *bytes))
        .collect();
    let tree = format!("{modules}/dtb/broadcom/bcm2712-rpi-5-b.dtb");
    let list = format!("{modules}/modules.builtin");
    let (image, known) = (kernel_image(), built_in(&BUILT_IN));
    let part = |what: &str, files: &[File<'_>]| {
        deb(&format!("linux-{what}-{release}"), "7.3.4-1", ".gz", files)
    };
    [
        part("binary", &[(&format!("{modules}/vmlinuz"), &image)]),
        part("modules", &drivers),
        part("base", &[(&tree, b"pi 5"), (&list, known.as_bytes())]),
    ]
}

/// Raspberry Pi OS's kernel: device trees of its own names, overlays, drivers for ribbon-cable cameras.
pub fn kernel_of_pi_os() -> Vec<u8> {
    kernel_of_pi_os_with(
        "6.12.25+rpt-rpi-v8",
        PI_5_CONFIG,
        &[("rp1-cfe", "raspberrypi,rp1-cfe")],
    )
}

/// A newer one, with mainline's driver of a Raspberry Pi 5's receiver beside its own.
pub fn newer_kernel_of_pi_os() -> Vec<u8> {
    kernel_of_pi_os_with(
        "6.18.50+rpt-rpi-v8",
        PI_5_CONFIG,
        &[
            ("rp1-cfe", "raspberrypi,rp1-cfe-upstream"),
            ("rp1-cfe-downstream", "raspberrypi,rp1-cfe"),
        ],
    )
}

/// One whose configuration does not tell of a Raspberry Pi 5's pins.
pub fn kernel_of_pi_os_without_pins() -> Vec<u8> {
    kernel_of_pi_os_with(
        "6.12.25+rpt-rpi-v8",
        "CONFIG_BCM2712_MIP=y\nCONFIG_PINCTRL_BCM2712=m\n",
        &[("rp1-cfe", "raspberrypi,rp1-cfe")],
    )
}

/// A driver that binds devices of this `compatible`.
fn binds(compatible: &str) -> Vec<u8> {
    let alias = format!("alias=of:N*T*C{compatible}");
    format!("\x7fELF\0license=GPL\0{alias}C*\0{alias}\0depends=videodev\0").into_bytes()
}

/// A device tree, as far as it is looked at.
fn device_tree(name: &str, compatible: &str) -> Vec<u8> {
    format!("{name}\0\0\x03{compatible}\0okay\0").into_bytes()
}

/// With these drivers of a Raspberry Pi 5's receiver; there are two of the older ones' receiver.
fn kernel_of_pi_os_with(release: &str, config: &str, receivers: &[(&str, &str)]) -> Vec<u8> {
    let library = format!("./usr/lib/linux-image-{release}");
    let modules = format!("./usr/lib/modules/{release}");
    let known = built_in(&BUILT_IN) + &built_in(&PI_5);
    let mut files = vec![
        (format!("./boot/vmlinuz-{release}"), kernel_image()),
        (format!("./boot/config-{release}"), config.into()),
        (format!("{modules}/modules.builtin"), known.into_bytes()),
    ];
    for (name, compatible) in [
        ("bcm2710-rpi-3-b", "brcm,bcm2835-unicam"),
        ("bcm2710-rpi-zero-2-w", "brcm,bcm2835-unicam"),
        ("bcm2711-rpi-4-b", "brcm,bcm2835-unicam"),
        ("bcm2712-rpi-5-b", "raspberrypi,rp1-cfe"),
    ] {
        let tree = device_tree(name, compatible);
        files.push((format!("{library}/broadcom/{name}.dtb"), tree));
    }
    for (name, contents) in [
        ("imx219", "the sensor"),
        ("ov5647", "another"),
        ("imx708", "a third"),
        ("spi0-2cs", "chip selects"),
        ("spi1-1cs", "another bus"),
        ("vc4-kms-dsi-7inch", "a display"),
        ("vc4-kms-v3d-pi4", "connectors"),
        ("vc4-kms-v3d", "connectors"),
        ("dwc2", "usb"),
    ] {
        files.push((format!("{library}/overlays/{name}.dtbo"), contents.into()));
    }
    for (name, needed) in [
        ("uvcvideo", "videodev"),
        ("imx219", "v4l2-cci,videodev"),
        ("spi-bcm2835", ""),
        ("spi-bcm2835aux", ""),
        ("spidev", ""),
        ("i2c-dev", ""),
        ("imx708", "v4l2-cci,videodev"),
        ("dw9807-vcm", "videodev"),
        ("bcm2835-v4l2", "videodev"),
        ("rpi-panel-attiny-regulator", ""),
        ("tc358762", ""),
        ("panel-simple", ""),
        ("v4l2-cci", ""),
        ("snd-soc-hdmi-codec", ""),
        ("vc4", "cec"),
        ("cec", ""),
        ("videodev", ""),
    ] {
        let module = format!("\x7fELF\0depends={needed}\0").into_bytes();
        files.push((format!("{modules}/kernel/{name}.ko"), module));
    }
    let of_bcm = [
        ("bcm2835-unicam", "brcm,bcm2835-unicam-upstream"),
        ("bcm2835-unicam-legacy", "brcm,bcm2835-unicam"),
    ];
    for (name, compatible) in of_bcm.iter().chain(receivers) {
        files.push((format!("{modules}/kernel/{name}.ko"), binds(compatible)));
    }
    let files: Vec<File<'_>> = files
        .iter()
        .map(|(path, contents)| (&path[..], &contents[..]))
        .collect();
    let version = format!("1:{}-1+rpt1", release.split('+').next().unwrap());
    deb(&format!("linux-image-{release}"), &version, ".gz", &files)
}

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
                built_in(&BUILT_IN).as_bytes(),
            ),
            (&format!("{modules}/kernel/uvcvideo.ko"), &camera),
            (&format!("{modules}/kernel/vivid.ko"), &camera),
            (
                &format!("{modules}/kernel/bcm2835-v4l2.ko"),
                b"\x7fELF\0depends=bcm2835-mmal-vchiq,videodev\0",
            ),
            (
                &format!("{modules}/kernel/bcm2835-mmal-vchiq.ko"),
                b"\x7fELF\0depends=vchiq\0",
            ),
            (&format!("{modules}/kernel/vchiq.ko"), MODULE),
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
    firmware_with(TRIALS, &[])
}

/// The same with a camera's start file for a Raspberry Pi 4.
pub fn firmware_for_cameras() -> Vec<u8> {
    let folder = "./usr/lib/raspi-firmware";
    let files = ["start4x.elf", "fixup4x.dat"].map(|name| format!("{folder}/{name}"));
    firmware_with(
        TRIALS,
        &files
            .each_ref()
            .map(|path| (&path[..], &b"with a camera"[..])),
    )
}

const TRIALS: &[u8] = b"boot code that knows tryboot_a_b";

/// The same from before trial boots.
pub fn firmware_without_trials() -> Vec<u8> {
    firmware_with(b"boot code", &[])
}

fn firmware_with(boot_code: &[u8], more: &[File<'_>]) -> Vec<u8> {
    let folder = "./usr/lib/raspi-firmware";
    let path = |name: &str| format!("{folder}/{name}");
    let named: [(String, &[u8]); 8] = [
        (path("bootcode.bin"), boot_code),
        (path("start.elf"), b"start"),
        (path("start4.elf"), b"start 4"),
        (path("fixup.dat"), b"fix"),
        (path("fixup4.dat"), b"fix 4"),
        (path("start_x.elf"), b"start with a camera"),
        (path("fixup_x.dat"), b"fix with a camera"),
        (path("overlays/pi4-spidev.dtbo"), b"spi"),
    ];
    let licence: File<'_> = (
        "./usr/share/doc/raspi-firmware/copyright",
        b"may be shipped",
    );
    let mut files = vec![licence];
    files.extend(named.iter().map(|(path, bytes)| (&path[..], *bytes)));
    files.extend(more);
    deb("raspi-firmware", "1.2022", ".gz", &files)
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

/// A package whose files unpack to much more than it has.
pub fn bomb(packing: &str) -> Vec<u8> {
    let zeros = vec![0; 300 << 20];
    deb("bomb", "1", packing, &[("./boot/vmlinuz-6.1", &zeros)])
}

/// The same of its description.
pub fn bomb_of_description() -> Vec<u8> {
    let zeros = vec![0; 300 << 20];
    let control = gzip(&tar(&[
        ("./much", &zeros),
        ("./control", control("x", "1").as_bytes()),
    ]));
    ar(&[("control.tar.gz", &control), ("data.tar", &tar(&[]))])
}

/// A kernel's package in which the length of the last member is this text.
pub fn with_length(length: &str) -> Vec<u8> {
    let mut package = kernel();
    let name = b"data.tar.gz";
    let at = package
        .windows(name.len())
        .position(|window| window == name);
    let field = &mut package[at.unwrap() + 48..][..10];
    field.copy_from_slice(format!("{length:<10}").as_bytes());
    package
}

/// A package of this name and version, with a kernel in it.
pub fn called(name: &str, version: &str) -> Vec<u8> {
    deb(
        name,
        version,
        ".gz",
        &[("./boot/vmlinuz-6.1", &kernel_image())],
    )
}

/// A package whose files are this archive, packed already.
pub fn deb_with_data(packing: &str, data: &[u8]) -> Vec<u8> {
    let control = gzip(&tar(&[("./control", control("x", "1").as_bytes())]));
    ar(&[
        ("control.tar.gz", &control),
        (&format!("data.tar{packing}"), data),
    ])
}

/// A package whose files are this archive's first entry and nothing else.
pub fn with_entry(mut entry: Vec<u8>) -> Vec<u8> {
    entry.resize(entry.len() + 1024, 0);
    deb_with_data("", &entry)
}

/// The header of a file of 8 GiB.
pub fn long_file() -> Vec<u8> {
    header("boot/vmlinuz-6.1", tar::EntryType::Regular, (1 << 33) - 1)
}

/// A file of 8 GiB that ends after its first bytes.
pub fn endless_file() -> Vec<u8> {
    let mut entry = long_file();
    entry.resize(4096, 7);
    entry
}

/// An empty file of this name, wherever that leads.
pub fn file_named(name: &str) -> Vec<u8> {
    let mut entry = header(name, tar::EntryType::Regular, 4096);
    entry.extend(kernel_image());
    entry
}

/// A symbolic link of this name.
pub fn link_named(name: &str) -> Vec<u8> {
    header(name, tar::EntryType::Symlink, 0)
}

/// A block device of this name.
pub fn device_named(name: &str) -> Vec<u8> {
    header(name, tar::EntryType::Block, 0)
}

/// The header of an entry, without any check of its name.
fn header(name: &str, kind: tar::EntryType, bytes: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// A kernel whose camera module is this xz file.
pub fn kernel_with_module(packed: &[u8]) -> Vec<u8> {
    kernel_with(&[(
        "./lib/modules/6.1/uvcvideo.ko.xz".to_owned(),
        packed.to_vec(),
    )])
}

/// A kernel whose camera module needs one that needs one that ...
pub fn kernel_with_chain(length: usize) -> Vec<u8> {
    let name = |number: usize| match number {
        0 => "uvcvideo".to_owned(),
        _ => format!("m{number}"),
    };
    let modules: Vec<_> = (0..length)
        .map(|number| {
            let info = format!("\x7fELF\0depends={}\0", name(number + 1));
            let path = format!("./lib/modules/6.1/{}.ko", name(number));
            (path, info.into_bytes())
        })
        .collect();
    kernel_with(&modules)
}

fn kernel_with(modules: &[(String, Vec<u8>)]) -> Vec<u8> {
    let image = kernel_image();
    let known = built_in(&["virtio_pci", "xhci_pci", "virtio_blk"]);
    let mut files: Vec<File<'_>> = vec![
        ("./boot/vmlinuz-6.1", &image),
        ("./lib/modules/6.1/modules.builtin", known.as_bytes()),
    ];
    files.extend(
        modules
            .iter()
            .map(|(path, contents)| (&**path, &**contents)),
    );
    deb("linux-image-6.1", "6.1", ".gz", &files)
}

/// `head` and so many zeros behind it as an xz file; `None` where there is no program for that.
pub fn xz_of_zeros(head: Vec<u8>, bytes: usize) -> Option<Vec<u8>> {
    let mut command = Command::new("xz");
    let child = command
        .args(["-0", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = child.spawn().ok()?;
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let block = vec![0; 1 << 20];
        input.write_all(&head).is_ok() && (0..bytes >> 20).all(|_| input.write_all(&block).is_ok())
    });
    let output = child.wait_with_output().unwrap();
    assert!(writer.join().unwrap() && output.status.success());
    Some(output.stdout)
}

/// Has the first block of an xz file say that it needs a dictionary of 4 GiB. Format: tukaani.org/xz/xz-file-format.txt, 3.1
/// and 5.3.1.
pub fn ask_for_dictionary_of_4_gib(xz: &mut [u8]) {
    const STREAM_HEADER_BYTES: usize = 12;
    const LARGEST: u8 = 40;
    let header_bytes = (usize::from(xz[STREAM_HEADER_BYTES]) + 1) * 4;
    let header = &mut xz[STREAM_HEADER_BYTES..][..header_bytes];
    // Size, flags, and behind the lengths, where the flags tell of them, the filter 0x21 with one byte.
    let at = header
        .windows(2)
        .position(|window| window == [0x21, 1])
        .unwrap();
    header[at + 2] = LARGEST;
    let (bytes, sum) = header.split_at_mut(header_bytes - 4);
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    sum.copy_from_slice(&crc.sum().to_le_bytes());
}
