# What goes to a panel on SPI, traced, and the same scene as a PNG file; then both over the serial line. `begin` is the test's: it waits
# for the panel.
mount -t tracefs none /sys/kernel/tracing
cd /sys/kernel/tracing || exit
echo 16384 > buffer_size_kb
echo 1 > events/spi/spi_transfer_start/enable
echo 1 > events/gpio/gpio_value/enable
begin
eyelet run --board-file /boards/panel.toml --frames 8
echo 0 > tracing_on
eyelet run --board-file /boards/png.toml --frames 8
for file in /tmp/png/*.png; do
    newest=$file
done
echo "guest: the PNG"
base64 "$newest"
echo "guest: the trace"
gzip -c trace | base64
