//! Device trees in their flat form (.dtb), changed: QEMU has not all that a board's own tree has, and the boot firmware adds to it.
//!
//! The form: Devicetree Specification v0.4, chapter 5.

/// A tree.
pub struct DeviceTree {
    /// The memory reservation block, as it was.
    reservations: Vec<u8>,
    boot_cpu: u32,
    root: Node,
}

/// A node of it.
#[derive(Default)]
pub struct Node {
    name: String,
    properties: Vec<(String, Vec<u8>)>,
    children: Vec<Node>,
}

const MAGIC: u32 = 0xd00d_feed;
const VERSION: u32 = 17;
const LAST_COMPATIBLE_VERSION: u32 = 16;
const HEADER_BYTES: usize = 40;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

impl DeviceTree {
    /// Reads a kernel's own tree.
    ///
    /// # Panics
    /// When it is none.
    pub fn read(bytes: &[u8]) -> Self {
        assert_eq!(word(bytes, 0), MAGIC, "a device tree begins so");
        let offset = |field: usize| word(bytes, field * 4) as usize;
        let (structure, strings, reservations) = (offset(2), offset(3), offset(4));
        // Pairs of address and length, the last one zero.
        let ends = bytes[reservations..].chunks_exact(16);
        let pairs = ends.take_while(|pair| **pair != [0; 16]).count() + 1;
        let mut at = structure;
        while word(bytes, at) == NOP {
            at += 4;
        }
        assert_eq!(word(bytes, at), BEGIN_NODE, "the root comes first");
        at += 4;
        Self {
            reservations: bytes[reservations..reservations + pairs * 16].to_vec(),
            boot_cpu: word(bytes, 28),
            root: Node::read(bytes, &mut at, strings),
        }
    }

    /// The tree as a file.
    pub fn bytes(&self) -> Vec<u8> {
        let (mut structure, mut strings) = (Vec::new(), Vec::new());
        self.root.write(&mut structure, &mut strings);
        put(&mut structure, END);
        let structure_at = HEADER_BYTES + self.reservations.len();
        let strings_at = structure_at + structure.len();
        let mut bytes = Vec::new();
        for field in [
            MAGIC as usize,
            strings_at + strings.len(),
            structure_at,
            strings_at,
            HEADER_BYTES,
            VERSION as usize,
            LAST_COMPATIBLE_VERSION as usize,
            self.boot_cpu as usize,
            strings.len(),
            structure.len(),
        ] {
            put(&mut bytes, field as u32);
        }
        bytes.extend(&self.reservations);
        bytes.extend(structure);
        bytes.extend(strings);
        bytes
    }

    /// The node at a path such as `/soc/spi@7e204000`.
    ///
    /// # Panics
    /// When there is none.
    pub fn node(&mut self, path: &str) -> &mut Node {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.fold(&mut self.root, |node, part| {
            let children = node.children.iter_mut();
            let mut found = children.filter(|child| child.name == part);
            found
                .next()
                .unwrap_or_else(|| panic!("no {part} of {path} in the device tree"))
        })
    }

    /// The framebuffer that a Raspberry Pi's firmware sets up and tells Linux of: 16 bits a pixel at `address`, which is below
    /// 4 GiB. Linux: Documentation/devicetree/bindings/display/simple-framebuffer.yaml.
    pub fn add_framebuffer(&mut self, address: u32, (width_px, height_px): (u32, u32)) {
        let cells = |name| self.root.cell(name);
        let (address_cells, size_cells) = (cells("#address-cells"), cells("#size-cells"));
        let stride_bytes = width_px * 2;
        let wide = |value: u32, cells: u32| {
            let mut words = vec![0; cells as usize - 1];
            words.push(value);
            words
        };
        let mut place = wide(address, address_cells);
        place.extend(wide(stride_bytes * height_px, size_cells));
        let chosen = self.node("/chosen");
        chosen.set_cells("#address-cells", &[address_cells]);
        chosen.set_cells("#size-cells", &[size_cells]);
        chosen.set("ranges", &[]);
        let framebuffer = chosen.add(&format!("framebuffer@{address:x}"));
        framebuffer.set_text("compatible", "simple-framebuffer");
        framebuffer.set_cells("reg", &place);
        framebuffer.set_cells("width", &[width_px]);
        framebuffer.set_cells("height", &[height_px]);
        framebuffer.set_cells("stride", &[stride_bytes]);
        framebuffer.set_text("format", "r5g6b5");
    }
}

impl Node {
    /// Reads the node whose name is at `at`, to behind its end.
    fn read(bytes: &[u8], at: &mut usize, strings: usize) -> Self {
        let mut node = Self {
            name: text(bytes, *at),
            ..Self::default()
        };
        *at += (node.name.len() + 1).next_multiple_of(4);
        loop {
            let token = word(bytes, *at);
            *at += 4;
            match token {
                BEGIN_NODE => node.children.push(Self::read(bytes, at, strings)),
                END_NODE => return node,
                PROPERTY => {
                    let length = word(bytes, *at) as usize;
                    let name = text(bytes, strings + word(bytes, *at + 4) as usize);
                    let value = bytes[*at + 8..*at + 8 + length].to_vec();
                    node.properties.push((name, value));
                    *at += 8 + length.next_multiple_of(4);
                }
                NOP => {}
                other => panic!("{other} in a device tree's structure"),
            }
        }
    }

    fn write(&self, structure: &mut Vec<u8>, strings: &mut Vec<u8>) {
        put(structure, BEGIN_NODE);
        structure.extend(self.name.as_bytes());
        structure.push(0);
        pad(structure);
        for (name, value) in &self.properties {
            put(structure, PROPERTY);
            put(structure, value.len() as u32);
            put(structure, strings.len() as u32);
            structure.extend(value);
            pad(structure);
            strings.extend(name.as_bytes());
            strings.push(0);
        }
        for child in &self.children {
            child.write(structure, strings);
        }
        put(structure, END_NODE);
    }

    /// The nodes below it.
    pub fn children(&mut self) -> impl Iterator<Item = &mut Self> {
        self.children.iter_mut()
    }

    /// Its name, with its address.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a node below it.
    pub fn add(&mut self, name: &str) -> &mut Self {
        self.children.push(Self {
            name: name.to_owned(),
            ..Self::default()
        });
        self.children.last_mut().expect("it was just added")
    }

    /// Takes all nodes below it out.
    pub fn clear(&mut self) {
        self.children.clear();
    }

    /// A property of one cell.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn cell(&self, name: &str) -> u32 {
        let mut properties = self.properties.iter();
        let found = properties.find(|(own, _)| own == name);
        word(&found.unwrap_or_else(|| panic!("no property {name}")).1, 0)
    }

    /// Sets a property, which need not be there.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        match self.properties.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => *own = value.to_vec(),
            None => self.properties.push((name.to_owned(), value.to_vec())),
        }
    }

    /// Sets a property to text.
    pub fn set_text(&mut self, name: &str, text: &str) {
        self.set(name, format!("{text}\0").as_bytes());
    }

    /// Sets a property to numbers.
    pub fn set_cells(&mut self, name: &str, cells: &[u32]) {
        let bytes: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.set(name, &bytes);
    }

    /// Takes a property out.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn remove(&mut self, name: &str) {
        let count = self.properties.len();
        self.properties.retain(|(own, _)| own != name);
        assert!(self.properties.len() < count, "no property {name}");
    }

    /// Linux finds no device there.
    pub fn disable(&mut self) {
        self.set_text("status", "disabled");
    }

    /// Linux finds a device there.
    pub fn enable(&mut self) {
        self.set_text("status", "okay");
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn text(bytes: &[u8], at: usize) -> String {
    let rest = bytes[at..].split(|&byte| byte == 0);
    let first = rest.map(<[u8]>::to_vec).next().unwrap_or_default();
    String::from_utf8(first).expect("names are ASCII")
}

fn put(bytes: &mut Vec<u8>, word: u32) {
    bytes.extend(word.to_be_bytes());
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}
