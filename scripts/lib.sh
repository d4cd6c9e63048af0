# Shared by the scripts: builds our programs and the demo appliance. Sourced, not run; the caller is in the project's root.
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
TARGET=x86_64-unknown-linux-gnu
TARGET_DIR=${CARGO_TARGET_DIR:-target}
STATIC="-C target-feature=+crt-static"

# build_programs PROFILE: the host programs with that cargo profile, and the two static device programs beside them, all in $BIN.
build_programs() {
  local profile=$1 folder=$1
  if [ "$profile" = dev ]; then folder=debug; fi
  echo "build: bulkhead and bulkhead-vm ($profile)"
  cargo build --locked --quiet --profile "$profile" -p builder -p qemu --bins
  echo "build: bulkhead-init and update-agent (static)"
  RUSTFLAGS=$STATIC cargo build --locked --quiet --profile device --target "$TARGET" -p init -p update-agent --bins
  BIN=$TARGET_DIR/$folder
  local device=$TARGET_DIR/$TARGET/device
  if [ "$profile" = dev ]; then
    # Away from cargo's own folder: "cargo test" puts a dynamic update-agent there, and the image would not be the same again.
    BIN=$TARGET_DIR/programs
    place "$TARGET_DIR/$folder/bulkhead" "$TARGET_DIR/$folder/bulkhead-vm"
  fi
  place "$device/bulkhead-init" "$device/update-agent"
}

# build_programs_once: the same for tests, which build every dependency one time only: programs, lints and tests are all for the
# appliance's target and static, and the agent is the one that is tested: the same code as an appliance's, less optimised and larger. The
# program of the initramfs is as it is shipped, because GRUB is slow at reading and hashing it.
build_programs_once() {
  echo "build: bulkhead, bulkhead-vm, update-agent (static, dev) and bulkhead-init (static)"
  cargo build --locked --quiet --workspace --bins
  cargo build --locked --quiet --profile device -p init --bins
  BIN=$TARGET_DIR/programs
  local built=$TARGET_DIR/$TARGET/debug
  place "$built/bulkhead" "$built/bulkhead-vm" "$built/update-agent" "$TARGET_DIR/$TARGET/device/bulkhead-init"
  strip "$BIN/update-agent"
}

# place PROGRAM...: into $BIN. Replaced, never overwritten: a program that is running keeps its file.
place() {
  local program
  mkdir -p "$BIN"
  for program in "$@"; do
    rm -f "$BIN/${program##*/}"
    cp "$program" "$BIN"
  done
}

# fetch_debs FOLDER: Debian's kernel and busybox into FOLDER, each once; what else is there stays.
fetch_debs() {
  local folder=$1 wanted=()
  mkdir -p "$folder"
  if ! compgen -G "$folder/linux-image-*.deb" >/dev/null; then wanted+=(linux-image-cloud-amd64); fi
  if ! compgen -G "$folder/busybox-static_*.deb" >/dev/null; then wanted+=(busybox-static); fi
  if [ ${#wanted[@]} = 0 ]; then return; fi
  echo "fetch: ${wanted[*]}"
  if ! apt-cache show "${wanted[@]}" >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then apt-get update -qq; else sudo apt-get update -qq; fi
  fi
  if [ "${wanted[0]}" = linux-image-cloud-amd64 ]; then
    # An empty package that names the kernel of the day.
    wanted[0]=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ {print $2; exit}')
  fi
  # Elsewhere first: a download that was cut off must not be taken for a package next time.
  rm -rf "$folder/.partial"
  mkdir "$folder/.partial"
  (cd "$folder/.partial" && apt-get download -qq -o APT::Sandbox::User="$(id -un)" "${wanted[@]}")
  mv "$folder/.partial"/*.deb "$folder"
  rmdir "$folder/.partial"
}

# build_demo DIR: development keys and the demo appliance, both in DIR.
build_demo() {
  local out=$1
  mkdir -p "$out"
  if [ ! -d rootfs/minimal/keys ]; then
    "$BIN/bulkhead" keys generate rootfs/minimal/keys --development --product bulkhead-demo
  fi
  "$BIN/bulkhead" build rootfs/minimal/recipe.toml -o "$out" --force
}

# fetch_debian_tar OUT: a real Debian system as a tar archive, once; with a program that has a file capability.
fetch_debian_tar() {
  local out=$1 file sources=()
  if [ -s "$out" ]; then return; fi
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    if [ -e "$file" ] && grep -q '^[^#]' "$file"; then sources+=("$file"); fi
  done
  echo "fetch: a Debian system for the tests (mmdebstrap, minutes)"
  mkdir -p "$(dirname "$out")"
  rm -f "$out.partial"
  SOURCE_DATE_EPOCH=1767225600 mmdebstrap --quiet --mode=auto --format=tar --variant=minbase \
    --include=iputils-ping,libcap2-bin bookworm "$out.partial" "${sources[@]}"
  mv "$out.partial" "$out"
}
