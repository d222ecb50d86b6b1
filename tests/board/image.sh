#!/usr/bin/env bash
# image.sh DIR KERNEL: makes the board's disk (board.img) and unpacks the kernel into DIR. KERNEL is what kernel.sh made.
# Needs root, for the owners of the files in the image. Nothing of the image is executed, so no emulation is needed here.
# What makes one board differ from another (keys, machine-id) is not in the image: see Board._write_identity.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kernel=$(cd "$2" && pwd)
mkdir -p "$1"
cd "$1"
[ "$(id -u)" = 0 ] || { echo "image.sh: needs root" >&2; exit 1; }

# From where this machine takes its own packages.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Created-By: Packages' | head -n 1)
[ -n "$mirror" ] || { echo "image.sh: apt knows no bookworm: run apt-get update on Debian 12" >&2; exit 1; }
packages=base-files,base-passwd,bash,coreutils,dash,findutils,grep,gzip,hostname,iproute2,kmod,libc-bin,libgomp1,libstdc++6
packages+=,login,mawk,mount,openssh-server,openssh-sftp-server,passwd,procps,python3,sed,tar,util-linux
mmdebstrap --quiet --architectures=arm64 --variant=extract --format=directory --include="$packages" \
  --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  bookworm root "$mirror"

# Packages were unpacked only: what their scripts would have set up, and we need, follows.
ln -sf mawk root/usr/bin/awk
cp root/usr/share/base-passwd/group.master root/etc/group
sed 's/^\(root\):[^:]*:/\1:x:/' root/usr/share/base-passwd/passwd.master > root/etc/passwd
echo 'sshd:x:100:65534::/run/sshd:/usr/sbin/nologin' >> root/etc/passwd
id=1000
for user in edge pat; do  # ordinary users: edge has the key of the tests, pat a password
  echo "$user:x:$id:$id::/home/$user:/bin/bash" >> root/etc/passwd
  echo "$user:x:$id:" >> root/etc/group
  install -d -m 700 -o "$id" -g "$id" "root/home/$user" "root/home/$user/.ssh"
  id=$((id + 1))
done
install -d -m 700 root/root root/root/.ssh
# pat's password is "joulefront"; few rounds, since the board is slow. Nobody else has one.
hash='$6$rounds=1000$board$b2El.SgeMB.ksokjPWmCtNaVb0kwYPHUFuLw4Zf2NseqD2BmgCNndXFhtV9bax1u45O9MGRBnabQ.6BrnjgxK0'
(umask 077 && sed "s#^\([^:]*\):.*#\1:*:19000:0:99999:7:::#; s#^pat:\*#pat:$hash#" root/etc/passwd > root/etc/shadow)

echo '127.0.0.1 localhost' > root/etc/hosts
rm -f root/etc/ssh/ssh_host_*
cat > root/etc/ssh/sshd_config <<'S'
HostKey /etc/ssh/ssh_host_ed25519_key
UsePAM no
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
Match User pat
  PasswordAuthentication yes
S
install -d -m 1777 root/tmp root/var/tmp
install -D -m 755 "$here/guest_init" root/sbin/guest_init
install -D -m 755 "$here/guest_sensors.py" root/usr/local/sbin/guest_sensors
tar -xJf "$kernel/modules.tar.xz" -C root --keep-directory-symlink
rm -rf root/var/cache/apt/* root/var/lib/apt/lists/*

truncate -s 1G board.img
mke2fs -q -t ext4 -L root -E lazy_itable_init=1 -d root board.img
rm -rf root
xz -dc "$kernel/Image.xz" > Image
cp "$kernel/board.dtb" .
