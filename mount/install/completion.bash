# Reads the tables above: what may stand at the place of the cursor. WORDS is a kind, with the choices behind it.

_lazydisk_mountpoints() {
  local folder type _
  while read -r _ folder type _; do
    [ "$type" != fuse.lazydisk ] || printf '%b\n' "$folder"
  done </proc/self/mounts
}

# Images are the folders of a mount; a repository is not asked, since a Tab must not wait for a store.
_lazydisk_images() {
  local folder
  for folder in "${1%/}"/*/; do
    [ ! -d "$folder" ] || basename -- "$folder"
  done
}

_lazydisk_complete() { # KIND [CHOICE…]
  local kind=$1 IFS=$' \t\n'
  shift
  case $kind in
    choices) COMPREPLY=($(compgen -W "$*" -- "$cur")) ;;
    folder) _filedir -d ;;
    file) _filedir ;;
    mountpoint)
      local IFS=$'\n'
      COMPREPLY=($(compgen -W "$(_lazydisk_mountpoints)" -- "$cur"))
      [ ${#COMPREPLY[@]} -gt 0 ] || _filedir -d
      ;;
    image)
      local IFS=$'\n'
      [ ! -d "$where" ] || COMPREPLY=($(compgen -W "$(_lazydisk_images "$where")" -- "$cur"))
      ;;
  esac
}

_lazydisk() {
  local cur prev words cword split
  _init_completion -s -n : || return
  local verb='' where='' place=0 at word
  for ((at = 1; at < cword; at++)); do
    word=${words[at]}
    case $word in
      --*=*) ;;
      --*) case " ${_lazydisk_valued[${verb:-mount}]} " in *" $word "*) at=$((at + 1)) ;; esac ;;
      -?*) ;;
      *)
        if [ -z "$verb" ]; then
          verb=$word
        else
          # The first argument that may be a mountpoint tells where images are looked up.
          case ${_lazydisk_words["$verb $place"]-} in mountpoint) where=$word ;; esac
          place=$((place + 1))
        fi
        ;;
    esac
  done

  if [ -z "$verb" ]; then
    case $cur in
      -*) COMPREPLY=($(compgen -W '--help --version' -- "$cur")) ;;
      *) COMPREPLY=($(compgen -W "$_lazydisk_verbs" -- "$cur")) ;;
    esac
  elif [ "$split" = true ] || [[ " ${_lazydisk_valued[$verb]-} " == *" $prev "* ]]; then
    _lazydisk_complete ${_lazydisk_words["$verb $prev"]-word}
  elif [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "${_lazydisk_options[$verb]-} --help" -- "$cur"))
  else
    _lazydisk_complete ${_lazydisk_words["$verb $place"]-word}
  fi
}

complete -F _lazydisk lazydisk
