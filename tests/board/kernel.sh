#!/usr/bin/env bash
# kernel.sh DIR: builds the board's kernel (Image.xz, modules.tar.xz) and device tree (board.dtb) into DIR, from Debian's source.
# What it needs is listed in virtual_board.py; about 2 GB of disk while it builds.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
mkdir build

qemu-system-aarch64 -M virt,dumpdtb=build/virt.dtb -cpu cortex-a72 -smp 2 -m 1024 -nic none -display none
dtc -@ -q -I dts -O dtb -o build/board.dtbo "$here/board.dtso"
fdtoverlay -i build/virt.dtb -o board.dtb build/board.dtbo

tar -xJf /usr/src/linux-source-6.1.tar.xz -C build --strip-components=1
export ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- KCONFIG_ALLCONFIG=$here/kernel.config
make -C build allnoconfig
make -C build -j"$(nproc)" Image modules
make -C build INSTALL_MOD_PATH=../modules modules_install
xz -c build/arch/arm64/boot/Image > Image.xz
rm -f modules/lib/modules/*/{build,source}
tar -cJf modules.tar.xz -C modules lib
cp build/.config kernel.config
rm -rf build modules
