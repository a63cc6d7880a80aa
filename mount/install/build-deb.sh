#!/bin/bash
# Makes a Debian package of what `make install` installs: .cache/deb/lazydisk_VERSION_ARCHITECTURE.deb. Needs neither root nor
# network. DEBFULLNAME and DEBEMAIL say who made it, as with Debian's own tools.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

version=$(node -p 'require("./package.json").version')
least_node=$(node -p 'require("./package.json").engines.node.replace(/[^0-9.]/g, "")')
description=$(node -p 'require("./package.json").description')
architecture=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-lazydisk} <${DEBEMAIL:-lazydisk@localhost}>"
# The same sources make the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH

umask 022
out=.cache/deb
mkdir -p "$out"
# Of its own, so that two may be made at once; what has been made before stays until the next one is whole.
work=$(mktemp -d "$out/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/DEBIAN"

LAZYDISK_NODE=/usr/bin/node make --no-print-directory install DESTDIR="$PWD/$root" PREFIX=/usr HELPER_DIR=/sbin \
  UNIT_DIR=/lib/systemd/system ZSH_COMPLETION_DIR=/usr/share/zsh/vendor-completions >/dev/null

doc=$root/usr/share/doc/lazydisk
mkdir -p "$doc/decisions" "$root/usr/share/lintian/overrides"
cp README.md docs/*.md "$doc"
cp docs/decisions/*.md "$doc/decisions"
cp -r examples "$doc/examples"
cp mount/install/lintian-overrides "$root/usr/share/lintian/overrides/lazydisk"
gzip -9n <CHANGELOG.md >"$doc/CHANGELOG.md.gz"
printf 'lazydisk (%s) unstable; urgency=medium\n\n  * What changed: CHANGELOG.md.gz.\n\n -- %s  %s\n' \
  "$version" "$maintainer" "$(date -uRd "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.gz"
gzip -9n <"$root/usr/lib/lazydisk/THIRD-PARTY" >"$doc/THIRD-PARTY.gz"
rm "$root/usr/lib/lazydisk/THIRD-PARTY"
{
  printf 'lazydisk\n\n'
  cat LICENSE
  printf '\nThe programs hold packages of others, and some come beside them: THIRD-PARTY.gz names each with its license.\n'
  printf 'The Apache license 2.0 is also in /usr/share/common-licenses/Apache-2.0.\n'
} >"$doc/copyright"
find "$root/usr/share/man" -name '*.8' -exec gzip -9n {} +
# They stand in THIRD-PARTY.gz.
find "$root/usr/lib/lazydisk/node_modules" -iname 'licen[cs]e*' -delete
find "$root" -type f ! -perm /111 -exec chmod 644 {} +
find "$root/usr/lib/lazydisk/node_modules" -type f -exec chmod 644 {} +
find "$root" -name '*.node' -exec strip --strip-unneeded {} + 2>/dev/null || true

cat >"$root/DEBIAN/control" <<END
Package: lazydisk
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Section: admin
Priority: optional
Installed-Size: $(du -sk --exclude DEBIAN "$root" | cut -f 1)
Depends: nodejs (>= $least_node), libc6, libstdc++6
Recommends: ca-certificates, fuse3
Suggests: qemu-utils, qemu-system-x86, zstd, xz-utils
Description: ${description%%:*}
 Each image of the bucket appears as a sparse raw file, which a hypervisor
 opens at once; only the parts that it touches travel. What a guest writes
 stays on the local disk until a commit publishes the difference as a new
 snapshot. A clone costs one small object, whatever the size of the image.
END
for script in postinst postrm; do
  install -m 755 mount/install/debian-$script.sh "$root/DEBIAN/$script"
done
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

package=lazydisk_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$work/$package" >/dev/null
mv "$work/$package" "$out/$package"
echo "made $out/$package"
