# The same scene on the panel, traced, and as a PNG file; then both over the serial line.
wait_for /dev/spidev0.0
mount -t tracefs none /sys/kernel/tracing
cd /sys/kernel/tracing || exit
echo 16384 > buffer_size_kb
echo 1 > events/spi/spi_transfer_start/enable
echo 1 > events/gpio/gpio_value/enable
eyelet run --board-file /boards/spi.toml --frames 8
echo 0 > tracing_on
eyelet run --board-file /boards/png.toml --frames 8
for file in /tmp/png/*.png; do
    newest=$file
done
echo "guest: the PNG"
base64 "$newest"
echo "guest: the trace"
cat trace
